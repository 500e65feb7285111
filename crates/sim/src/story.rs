//! Events as lines of a story.

use std::fmt;

use codec::{FrameLimits, decode_frame};

use crate::queue::{Event, Packet};

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tick { node, .. } => write!(f, "node {node} ticks"),
            Self::Deliver(packet) => packet.fmt(f),
            Self::Dropped { node, to, .. } => {
                write!(f, "node {node} is told that a frame for node {to} went nowhere")
            }
            Self::Meet { node, peer, .. } => write!(f, "node {node} says hello to node {peer}"),
            Self::Synced { node, .. } => write!(f, "node {node}: the disk has synced"),
            Self::Applied { node, group, .. } => {
                write!(f, "node {node}: the machine of group {group} has applied")
            }
            Self::Fetched { node, group, fetch, .. } => {
                write!(f, "node {node}, group {group}: read {fetch:?}")
            }
            Self::Fitness { node, fitness, .. } => write!(f, "node {node} is told: {fitness:?}"),
            Self::Look { node, .. } => write!(f, "node {node} looks at its disk"),
            Self::Ask { node, attempt } => write!(f, "attempt {attempt} comes to node {node}"),
            Self::Order { node, group, to } => {
                write!(f, "node {node} is told to hand group {group} to node {to}")
            }
            Self::Start { node } => write!(f, "node {node} is to run"),
            Self::Resume { node, .. } => write!(f, "node {node} goes on"),
            Self::Client => write!(f, "a client thinks"),
            Self::Want(wish) => write!(f, "a client wants {wish:?}"),
            Self::Cancel { attempt } => write!(f, "nobody waits for attempt {attempt} any more"),
            Self::Fall { node, .. } => write!(f, "node {node} falls"),
            Self::Strike(class) => write!(f, "fault: {}", class.name()),
            Self::Relief(relief) => write!(f, "over: {relief:?}"),
        }
    }
}

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {} hears node {}:", self.to, self.from)?;
        let messages = decode_frame(&self.frame, &FrameLimits::default()).unwrap_or_default();
        messages.iter().try_for_each(|envelope| {
            let (group, message) = (envelope.group, &envelope.message);
            write!(f, " [group {group} term {}: {:?}]", message.term, message.body)
        })
    }
}
