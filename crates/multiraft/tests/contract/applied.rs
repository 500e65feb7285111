//! advance_applied: promise 47.

use multiraft::{NodeSettings, UnknownGroup};
use types::{GroupId, LogIndex};

use crate::harness::Node;

#[test]
fn c47_the_applied_mark_never_falls_nor_passes_the_commit_index() {
    let mut node = Node::alone(NodeSettings::default());
    node.holds_applies = true;
    let group = GroupId(1);
    for payload in [b"a", b"b", b"c"] {
        node.multi.propose_to_group(group, payload).unwrap();
        node.settle();
    }
    let applied = |node: &Node| node.multi.group_status(group).unwrap().applied;
    let floor = applied(&node);
    assert_eq!((floor, node.commit(1)), (LogIndex(2), LogIndex(5)));
    // Neither what was never delivered nor what does not exist is believed.
    node.holds_writes = true;
    node.multi.propose_to_group(group, b"d").unwrap();
    node.settle();
    for index in [6, 7, u64::MAX] {
        node.multi.advance_applied(group, LogIndex(index)).unwrap();
        assert_eq!(applied(&node), floor);
    }
    node.multi.advance_applied(group, LogIndex(4)).unwrap();
    assert_eq!(applied(&node), LogIndex(4));
    for index in [3, 0, 4] {
        node.multi.advance_applied(group, LogIndex(index)).unwrap();
        assert_eq!(applied(&node), LogIndex(4));
    }
    let unknown = UnknownGroup { group: GroupId(77) };
    assert_eq!(node.multi.advance_applied(GroupId(77), LogIndex(1)), Err(unknown));
    // The mark is not the durable floor: the state machine kept 3, so 4 and 5 come again.
    node.durable_applied.insert(group, LogIndex(3));
    node.restart(NodeSettings::default());
    assert_eq!(applied(&node), LogIndex(3));
    node.holds_writes = false;
    node.tick_to(node.multi.now().0 + 40);
    let again: Vec<u64> = node.delivered[&group].iter().map(|d| d.index.0).collect();
    assert_eq!(again[..2], [4, 5]);
    assert_eq!(node.commands(1), [b"b".to_vec(), b"c".to_vec()]);
    // A floor that the log does not reach belongs to another log.
    let restored = node.disk.group(group).unwrap().restored(group);
    let mut other = Node::new(1, node.multi.routing().clone(), NodeSettings::default());
    let beyond = restored.replica.last.next();
    other.multi.restore_group(restored.clone(), beyond).unwrap_err();
    assert_eq!(other.multi.group_count(), 0);
    other.multi.restore_group(restored, LogIndex(0)).unwrap();
}
