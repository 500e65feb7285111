//! How much memory a pipeline asks for, from the bytes that arrive to those that leave.
//!
//! A command that is answered in a few microseconds spends a good part of them on small pieces of
//! memory. What the fake engine takes counts too; it is always the same.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use bytes::BytesMut;

use super::batch::Batch;
use super::fake;
use super::service::{ClientLimits, Service, Session};
use crate::resp::{Parser, Request};

/// How many pieces of memory each pipeline may ask for.
const ALLOCATIONS_MAX: [(&str, usize, u64); 4] =
    [("SET", 1, 14), ("SET", 16, 55), ("GET", 1, 10), ("GET", 16, 22)];

/// What a client sends that asks `count` times at once, each time for another key.
fn pipeline(command: &str, count: usize) -> Vec<u8> {
    let line = |n| match command {
        "SET" => format!("*3\r\n$3\r\nSET\r\n$3\r\nk{n:02}\r\n$5\r\nvalue\r\n"),
        _ => format!("*2\r\n$3\r\n{command}\r\n$3\r\nk{n:02}\r\n"),
    };
    (0..count).map(line).collect::<String>().into_bytes()
}

/// Answers a pipeline as a connection does.
fn answer(service: &Arc<Service>, session: &mut Session, received: &[u8]) -> BytesMut {
    let (mut input, mut output) = (BytesMut::new(), BytesMut::new());
    input.extend_from_slice(received);
    let mut parser = Parser::new(service.limits.request);
    let mut requests: Vec<Request> = Vec::new();
    while let Some(request) = parser.next(&mut input).unwrap() {
        requests.push(request);
    }
    let mut batch = Batch::plan(service, session, requests);
    while !batch.is_done() {
        let mut context = Context::from_waker(Waker::noop());
        assert!(pin!(batch.round()).poll(&mut context).is_ready(), "the fake waits for nothing");
        batch.drain(&mut output, usize::MAX);
    }
    output
}

#[test]
fn a_pipeline_asks_for_few_pieces_of_memory() {
    let (service, _fake) = fake::service(ClientLimits::default());
    let (mut session, _seat) = fake::session(&service);
    let found = ALLOCATIONS_MAX.map(|(command, count, _)| {
        let received = pipeline(command, count);
        // Once before: what is kept for good is asked for once.
        let expected = answer(&service, &mut session, &received);
        let mut output = BytesMut::new();
        let asked = allocation_counter::measure(|| {
            output = answer(&service, &mut session, &received);
        });
        assert_eq!(output, expected);
        (command, count, asked.count_total)
    });
    let is_within = |((_, _, asked), (_, _, max)): (&(_, _, u64), &(_, _, u64))| asked <= max;
    let are_within = found.iter().zip(&ALLOCATIONS_MAX).all(is_within);
    assert!(are_within, "asked for {found:?}, may ask for {ALLOCATIONS_MAX:?}");
}
