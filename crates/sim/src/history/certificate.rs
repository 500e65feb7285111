//! Goes through an order once more, by what it was found from and nothing else.
//!
//! A search with an error in it could take what is wrong for right. An order that passes here is an
//! explanation, however it was found.

use super::model::apply;
use super::operation::{Ending, Operation};

/// Whether `order`, places of `operations`, has every operation that returned and none that was
/// refused, each once; whether each outcome is what the order makes it; and whether nothing comes
/// after what was invoked later than it returned.
///
/// # Errors
/// Says what is wrong with the order.
pub(super) fn verify(operations: &[&Operation], order: &[usize]) -> Result<(), String> {
    let mut state = None;
    let mut has_place = vec![false; operations.len()];
    let mut latest_invoked = 0;
    for place in order {
        let operation = operations[*place];
        if std::mem::replace(&mut has_place[*place], true) {
            return Err(format!("{operation} is there twice"));
        }
        let (after, outcome) = apply(state, operation.action);
        state = after;
        latest_invoked = latest_invoked.max(operation.invoked);
        match operation.ending {
            Ending::Open => {}
            Ending::Refused { .. } => return Err(format!("{operation} is there")),
            Ending::Returned { at, outcome: told } => {
                if told != outcome {
                    return Err(format!("{operation}, where {outcome} comes out"));
                }
                if at < latest_invoked {
                    return Err(format!("{operation} comes after what began when it was over"));
                }
            }
        }
    }
    let is_missing = |operation: &&Operation| matches!(operation.ending, Ending::Returned { .. });
    let without = operations.iter().zip(&has_place).filter(|(_, has_place)| !**has_place);
    match without.map(|(operation, _)| *operation).find(is_missing) {
        Some(operation) => Err(format!("{operation} is not there")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::operation::{Action, ClientId, Outcome};
    use super::*;

    fn operation(action: Action, invoked: u64, ending: Ending) -> Operation {
        Operation { client: ClientId(0), key: "k".into(), action, invoked, ending }
    }

    #[test]
    fn only_an_order_that_explains_everything_passes() {
        let returned = |at, outcome| Ending::Returned { at, outcome };
        let operations = [
            operation(Action::Set(1), 0, returned(3, Outcome::Done)),
            operation(Action::Get, 2, returned(4, Outcome::Found(None))),
            operation(Action::Set(2), 5, Ending::Open),
            operation(Action::Get, 5, returned(8, Outcome::Found(Some(1)))),
            operation(Action::Set(3), 5, Ending::Refused { at: 6 }),
        ];
        let operations: Vec<&Operation> = operations.iter().collect();
        for right in [&[1, 0, 3][..], &[1, 0, 3, 2]] {
            assert_eq!(verify(&operations, right), Ok(()));
        }
        for (wrong, why) in [
            (&[0, 1, 3][..], "client 0 get -> nothing, where 1 comes out"),
            (&[1, 0, 2, 3], "client 0 get -> 1, where 2 comes out"),
            (&[1, 0], "client 0 get -> 1 is not there"),
            (&[1, 0, 0, 3], "client 0 set 1 -> done is there twice"),
            (&[1, 0, 3, 4], "client 0 set 3 -> refused is there"),
            (&[1, 2, 0, 3], "client 0 set 1 -> done comes after what began when it was over"),
        ] {
            assert_eq!(verify(&operations, wrong), Err(why.to_owned()));
        }
    }
}
