//! Clients over real sockets.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::*;
use crate::front::fake::{self, Fake};
use crate::front::service::ClientLimits;

/// No test waits longer for anything.
const BOUND: Duration = Duration::from_secs(20);

async fn start(limits: ClientLimits) -> (Listener, Arc<Service>, Arc<Fake>) {
    let (service, fake) = fake::service(limits);
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listener = Listener::start(socket, Arc::clone(&service)).unwrap();
    (listener, service, fake)
}

/// Sends text and reads until `expected` bytes have come.
async fn exchange(stream: &mut TcpStream, send: &str, expected: &str) {
    stream.write_all(send.as_bytes()).await.unwrap();
    let mut received = vec![0; expected.len()];
    let read = timeout(BOUND, stream.read_exact(&mut received)).await;
    read.unwrap_or_else(|_| panic!("no {expected:?}")).unwrap();
    assert_eq!(String::from_utf8(received).unwrap(), expected);
}

/// Everything that comes until the other side closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    timeout(BOUND, stream.read_to_end(&mut text)).await.unwrap().unwrap();
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn commands_may_come_in_pieces_and_in_pipelines() {
    let (listener, ..) = start(ClientLimits::default()).await;
    let mut stream = TcpStream::connect(listener.address()).await.unwrap();
    exchange(&mut stream, "PING\r\n", "+PONG\r\n").await;
    exchange(&mut stream, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2\r\nv", "").await;
    exchange(&mut stream, "w\r\nGET k\r\nINCR n\r\n", "+OK\r\n$2\r\nvw\r\n:1\r\n").await;
    let many = "INCR n\r\n".repeat(5_000);
    let replies: String = (2..5_002).map(|n| format!(":{n}\r\n")).collect();
    exchange(&mut stream, &many, &replies).await;
    exchange(&mut stream, "QUIT\r\nPING\r\n", "+OK\r\n").await;
    assert_eq!(rest(&mut stream).await, "");
    listener.stop().await;
}

#[tokio::test]
async fn who_waits_holds_no_more_than_he_has_sent() {
    let (listener, service, _) = start(ClientLimits::default()).await;
    let mut stream = TcpStream::connect(listener.address()).await.unwrap();
    let until = async |what: &str, holds: fn(usize) -> bool| {
        let held = async {
            while !holds(service.clients.bytes()) {
                tokio::task::yield_now().await;
            }
        };
        timeout(BOUND, held)
            .await
            .unwrap_or_else(|_| panic!("{what}: {}", service.clients.bytes()));
    };
    stream.write_all(b"*2\r\n$4\r\nECHO\r\n$2").await.unwrap();
    until("a part of a request", |bytes| (1..200).contains(&bytes)).await;
    exchange(&mut stream, "\r\nhi\r\n", "$2\r\nhi\r\n").await;
    until("nothing", |bytes| bytes == 0).await;
    listener.stop().await;
}

#[tokio::test]
async fn a_broken_stream_is_told_why_and_closed() {
    let (listener, service, _) = start(ClientLimits::default()).await;
    let mut stream = TcpStream::connect(listener.address()).await.unwrap();
    stream.write_all(b"PING\r\n*1\r\n$9999999\r\nand so on").await.unwrap();
    let expected = "+PONG\r\n-ERR Protocol error: invalid bulk length\r\n";
    assert_eq!(rest(&mut stream).await, expected);
    drop(stream);
    let gone = async {
        while !service.clients.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    timeout(BOUND, gone).await.unwrap();
    listener.stop().await;
}

#[tokio::test]
async fn a_pipeline_of_more_replies_than_may_be_held_is_answered_whole() {
    let limits = ClientLimits { reply_bytes_max: 2_000, ..ClientLimits::default() };
    let (listener, ..) = start(limits).await;
    let mut stream = TcpStream::connect(listener.address()).await.unwrap();
    let word = "e".repeat(100);
    let asks = format!("ECHO {word}\r\nSET k {word}\r\nGET k\r\n").repeat(200);
    let replies = format!("$100\r\n{word}\r\n+OK\r\n$100\r\n{word}\r\n").repeat(200);
    exchange(&mut stream, &asks, &replies).await;
    listener.stop().await;
}

#[tokio::test]
async fn one_client_too_many_is_told_so() {
    let limits = ClientLimits { clients_max: 1, ..ClientLimits::default() };
    let (listener, service, _) = start(limits).await;
    let mut first = TcpStream::connect(listener.address()).await.unwrap();
    exchange(&mut first, "PING\r\n", "+PONG\r\n").await;
    let mut second = TcpStream::connect(listener.address()).await.unwrap();
    assert_eq!(rest(&mut second).await, "-ERR max number of clients reached\r\n");
    assert_eq!(service.counters.rejected.load(Ordering::Relaxed), 1);
    listener.stop().await;
}

#[tokio::test]
async fn stopping_finishes_what_was_begun() {
    let (listener, _, fake) = start(ClientLimits::default()).await;
    let mut idle = TcpStream::connect(listener.address()).await.unwrap();
    exchange(&mut idle, "PING\r\n", "+PONG\r\n").await;
    let mut busy = TcpStream::connect(listener.address()).await.unwrap();
    let hold = fake.hold();
    exchange(&mut busy, "PING\r\n", "+PONG\r\n").await;
    busy.write_all(b"SET k v\r\n").await.unwrap();
    let address = listener.address();
    let stopping = tokio::spawn(listener.stop());
    assert_eq!(rest(&mut idle).await, "");
    hold.send(false).unwrap();
    // Whether the command was read before the stop is a race; an answer is never cut.
    let reply = rest(&mut busy).await;
    assert!(reply.is_empty() || reply == "+OK\r\n", "{reply}");
    timeout(BOUND, stopping).await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_client_that_takes_no_replies_is_disconnected() {
    let write_timeout = Duration::from_millis(100);
    let limits = ClientLimits { write_timeout, ..ClientLimits::default() };
    let (listener, service, _) = start(limits).await;
    let mut stream = TcpStream::connect(listener.address()).await.unwrap();
    let value = "x".repeat(500_000);
    let set = format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$500000\r\n{value}\r\n");
    exchange(&mut stream, &set, "+OK\r\n").await;
    // Far more than sockets hold.
    stream.write_all("GET k\r\n".repeat(200).as_bytes()).await.unwrap();
    let gone = async {
        while !service.clients.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    timeout(BOUND, gone).await.unwrap();
    listener.stop().await;
}
