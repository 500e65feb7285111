//! The exchange that begins a connection, the same on both sides: each sends its hello, reads the
//! other's, judges it, sends its verdict, and reads the other's.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use types::NodeId;

use crate::hello::{HEADER_BYTES, Header, Hello, HelloError, Message};
use crate::refusal::Refusal;

/// Why a connection did not get past the exchange.
#[derive(Debug)]
pub(crate) enum HandshakeError {
    /// It broke.
    Broken(io::Error),
    /// Whoever is there speaks another protocol.
    Foreign(HelloError),
    /// This node refused, and said so.
    Refused {
        /// Who it claimed to be, if it got so far.
        node: Option<NodeId>,
        refusal: Refusal,
    },
    /// The other node refused.
    RefusedByPeer {
        /// Who it claimed to be, if it said so.
        node: Option<NodeId>,
        reason: String,
    },
}

/// How long a refused peer gets to read why before the connection is closed under it.
const LINGER: Duration = Duration::from_secs(1);

/// Runs the exchange; no time limit but for the end of a refusal.
///
/// **Effects**: on success nothing beyond the exchange was read from `stream`.
/// **Errors**: the connection is of no use any more; a refusal was sent as far as possible.
pub(crate) async fn shake_hands<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    own: &Hello,
    judge: impl FnOnce(&Hello) -> Result<(), Refusal>,
) -> Result<Hello, HandshakeError> {
    write(stream, &Message::Hello(own.clone())).await?;
    let hello = match read(stream).await? {
        Ok(Message::Hello(hello)) => hello,
        Ok(Message::Refused { reason }) => {
            return Err(HandshakeError::RefusedByPeer { node: None, reason });
        }
        Ok(message @ Message::Accepted) => {
            let error = HelloError::OutOfTurn { found: message.name(), expected: "a hello" };
            return Err(refuse(stream, None, malformed(own, error)).await);
        }
        Err(error @ HelloError::Foreign { .. }) => return Err(HandshakeError::Foreign(error)),
        Err(HelloError::Version { found }) => {
            return Err(refuse(stream, None, Refusal::Protocol { own: own.node, found }).await);
        }
        Err(error) => return Err(refuse(stream, None, malformed(own, error)).await),
    };
    if let Err(refusal) = judge(&hello) {
        return Err(refuse(stream, Some(hello.node), refusal).await);
    }
    // Whoever refused may have left already: its reason can still be read when nothing can be sent.
    let sent = write(stream, &Message::Accepted).await;
    match read(stream).await? {
        Ok(Message::Accepted) => sent.map(|()| hello),
        Ok(Message::Refused { reason }) => {
            Err(HandshakeError::RefusedByPeer { node: Some(hello.node), reason })
        }
        Ok(message @ Message::Hello(_)) => {
            let error = HelloError::OutOfTurn { found: message.name(), expected: "a verdict" };
            Err(refuse(stream, Some(hello.node), malformed(own, error)).await)
        }
        Err(error) => Err(refuse(stream, Some(hello.node), malformed(own, error)).await),
    }
}

fn malformed(own: &Hello, error: HelloError) -> Refusal {
    Refusal::Malformed { own: own.node, reason: error.to_string() }
}

async fn write(
    stream: &mut (impl AsyncWrite + Unpin),
    message: &Message,
) -> Result<(), HandshakeError> {
    stream.write_all(&message.encode()).await.map_err(HandshakeError::Broken)
}

/// Reads one message and not a byte more: frames may follow.
async fn read(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<Result<Message, HelloError>, HandshakeError> {
    let mut header = [0; HEADER_BYTES];
    stream.read_exact(&mut header).await.map_err(HandshakeError::Broken)?;
    let header = match Header::decode(&header) {
        Ok(header) => header,
        Err(error) => return Ok(Err(error)),
    };
    let mut body = vec![0; header.body_bytes];
    stream.read_exact(&mut body).await.map_err(HandshakeError::Broken)?;
    Ok(Message::decode(&header, &body))
}

/// Sends a refusal and waits a moment for the other side to close. Closing at once, with bytes of
/// the peer unread, would reset the connection and destroy the reason before it is read.
async fn refuse(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    node: Option<NodeId>,
    refusal: Refusal,
) -> HandshakeError {
    let refused = Message::Refused { reason: refusal.to_string() };
    let linger = async {
        write(stream, &refused).await.ok()?;
        stream.shutdown().await.ok()?;
        let mut rest = [0; 256];
        while stream.read(&mut rest).await.ok()? > 0 {}
        Some(())
    };
    // That it was read cannot be known in any case.
    let _ = tokio::time::timeout(LINGER, linger).await;
    HandshakeError::Refused { node, refusal }
}

#[cfg(test)]
mod tests {
    use tokio::io::{DuplexStream, duplex};
    use types::{BootId, ClusterId, StoreId};

    use super::*;
    use crate::hello::PROTOCOL_VERSION;

    #[tokio::test]
    async fn two_nodes_learn_who_the_other_is_and_read_no_frame() {
        let (mut a, mut b) = duplex(4096);
        let (one, two) = (hello(1), hello(2));
        let (found, found_by_two) = tokio::join!(
            async {
                let found = shake_hands(&mut a, &one, |_| Ok(())).await;
                a.write_all(b"frames").await.unwrap();
                found
            },
            shake_hands(&mut b, &two, |_| Ok(())),
        );
        assert_eq!(found.unwrap(), two);
        assert_eq!(found_by_two.unwrap(), one);
        let mut next = [0; 6];
        b.read_exact(&mut next).await.unwrap();
        assert_eq!(&next, b"frames");
    }

    #[tokio::test]
    async fn refusal_is_told_to_both_sides() {
        let (mut a, mut b) = duplex(4096);
        let judged = || Err(Refusal::Judged { reason: "node 1 has a new store".to_owned() });
        let (one, two) = (hello(1), hello(2));
        let (refused, refuser) = tokio::join!(
            async {
                let found = shake_hands(&mut a, &one, |_| Ok(())).await;
                drop(a);
                found
            },
            shake_hands(&mut b, &two, |_| judged()),
        );
        let HandshakeError::RefusedByPeer { node, reason } = refused.unwrap_err() else {
            panic!("expected to be refused")
        };
        assert_eq!((node, reason.as_str()), (Some(NodeId(2)), "node 1 has a new store"));
        let HandshakeError::Refused { node, refusal } = refuser.unwrap_err() else {
            panic!("expected to refuse")
        };
        assert_eq!((node, Err(refusal)), (Some(NodeId(1)), judged()));
    }

    #[tokio::test(start_paused = true)]
    async fn refuser_stays_until_the_refused_leaves() {
        let (mut a, mut b) = duplex(4096);
        let two = hello(2);
        let refusing = async {
            let judged = |_: &_| Err(Refusal::Judged { reason: "no".to_owned() });
            shake_hands(&mut b, &two, judged).await.unwrap_err();
            drop(b);
        };
        let slow = async {
            a.write_all(&Message::Hello(hello(1)).encode()).await.unwrap();
            let reason = last_refusal(&mut a).await;
            tokio::time::advance(LINGER / 2).await;
            a.write_all(&Message::Accepted.encode()).await.expect("the refuser is still there");
            drop(a);
            reason
        };
        let ((), reason) = tokio::join!(refusing, slow);
        assert_eq!(reason, "no");
    }

    #[tokio::test]
    async fn reason_is_read_even_if_the_refuser_left() {
        let (mut a, mut b) = duplex(4096);
        for message in [Message::Hello(hello(2)), Message::Refused { reason: "no".to_owned() }] {
            b.write_all(&message.encode()).await.unwrap();
        }
        // It takes our hello with it, and what we send afterwards breaks.
        let error = shake_hands(&mut a, &hello(1), |_| {
            drop(b);
            Ok(())
        })
        .await
        .unwrap_err();
        assert!(
            matches!(&error, HandshakeError::RefusedByPeer { reason, .. } if reason == "no"),
            "{error:?}"
        );
    }

    #[tokio::test]
    async fn other_version_is_refused_with_both_versions() {
        let bytes = Message::Hello(hello(2)).encode_as(PROTOCOL_VERSION + 1);
        let (error, answer) = play(&bytes).await;
        assert!(matches!(error, HandshakeError::Refused { node: None, .. }), "{error:?}");
        let expected = "the peer speaks protocol version 4, node 1 expects 3: run the same \
                        release on both";
        assert_eq!(answer, expected);
    }

    #[tokio::test]
    async fn strangers_get_no_answer_and_nonsense_gets_one() {
        let (error, answer) = play(b"GET / HTTP/1.1\r\nHost: db1\r\n\r\n").await;
        assert!(matches!(error, HandshakeError::Foreign(_)), "{error:?}");
        assert_eq!(answer, "");

        let (_, answer) = play(&Message::Accepted.encode()).await;
        assert_eq!(
            answer,
            "node 1 got a message out of turn: found an acceptance, expected a hello"
        );

        let twice = Message::Hello(hello(2)).encode().repeat(2);
        let (_, answer) = play(&twice).await;
        assert_eq!(answer, "node 1 got a message out of turn: found a hello, expected a verdict");

        let mut damaged = Message::Hello(hello(2)).encode();
        damaged[30] ^= 4;
        let (_, answer) = play(&damaged).await;
        assert!(answer.starts_with("node 1 got a damaged hello message: its checksum"), "{answer}");
    }

    #[tokio::test]
    async fn peer_that_hangs_up_breaks_the_exchange() {
        let (error, _) = play(&Message::Hello(hello(2)).encode()[..30]).await;
        assert!(matches!(error, HandshakeError::Broken(_)), "{error:?}");
    }

    /// Sends bytes to node 1 and closes; how that ended, and the reason of its refusal.
    async fn play(bytes: &[u8]) -> (HandshakeError, String) {
        let (mut a, mut b) = duplex(4096);
        let one = hello(1);
        let (error, answer) = tokio::join!(
            async {
                let error = shake_hands(&mut a, &one, |_| Ok(())).await.unwrap_err();
                drop(a);
                error
            },
            async {
                b.write_all(bytes).await.unwrap();
                b.shutdown().await.unwrap();
                last_refusal(&mut b).await
            },
        );
        (error, answer)
    }

    async fn last_refusal(stream: &mut DuplexStream) -> String {
        while let Ok(message) = read(stream).await {
            if let Message::Refused { reason } = message.unwrap() {
                return reason;
            }
        }
        String::new()
    }

    fn hello(node: u64) -> Hello {
        Hello {
            cluster: ClusterId::new("prod").unwrap(),
            node: NodeId(node),
            store: StoreId(u128::from(node)),
            boot: BootId(1),
            digest: 7,
        }
    }
}
