//! Waiting for several futures at once.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

/// Comes true when all have, with their results in order. Polls every unfinished one at each wake:
/// for as many as a pipeline has groups, that costs less than a task for each.
pub(crate) async fn join_all<F>(mut futures: Vec<Pin<Box<F>>>) -> Vec<F::Output>
where
    F: Future + ?Sized,
{
    if let [only] = &mut futures[..] {
        return vec![only.await];
    }
    let mut results: Vec<Option<F::Output>> = futures.iter().map(|_| None).collect();
    let mut waiting: Vec<(usize, Pin<Box<F>>)> = futures.into_iter().enumerate().collect();
    poll_fn(|context| {
        waiting.retain_mut(|(at, future)| match future.as_mut().poll(context) {
            Poll::Ready(result) => {
                results[*at] = Some(result);
                false
            }
            Poll::Pending => true,
        });
        if waiting.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    results.into_iter().map(|result| result.expect("none is left waiting")).collect()
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn results_keep_their_order_whoever_comes_first() {
        let (first, first_done) = oneshot::channel::<u8>();
        let (second, second_done) = oneshot::channel::<u8>();
        let joined = tokio::spawn(join_all(vec![Box::pin(first_done), Box::pin(second_done)]));
        second.send(2).unwrap();
        first.send(1).unwrap();
        assert_eq!(joined.await.unwrap(), [Ok(1), Ok(2)]);
        assert!(join_all(Vec::<Pin<Box<std::future::Ready<()>>>>::new()).await.is_empty());
    }
}
