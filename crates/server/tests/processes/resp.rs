//! A client's end of the Redis protocol, version 2: one command, one reply.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// What a node answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Reply {
    Status(String),
    Error(String),
    Integer(i64),
    /// A string; none if there is nothing.
    Text(Option<String>),
    Items(Vec<Self>),
}

/// A connection to one node.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// Connects within a time; nothing was sent if it fails.
    pub(crate) fn open(address: SocketAddr, within: Duration) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, within)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Its own end's address.
    pub(crate) fn address(&self) -> SocketAddr {
        self.stream.get_ref().local_addr().unwrap()
    }

    /// Sends a command and waits for its reply, no longer than until `deadline`. After an error the
    /// command may or may not have arrived, and a reply may still come: the connection is of no use.
    pub(crate) fn ask(&mut self, words: &[&str], deadline: Instant) -> io::Result<Reply> {
        let mut request = format!("*{}\r\n", words.len());
        for word in words {
            request += &format!("${}\r\n{word}\r\n", word.len());
        }
        self.stream.get_mut().write_all(request.as_bytes())?;
        self.reply(deadline)
    }

    fn reply(&mut self, deadline: Instant) -> io::Result<Reply> {
        let line = self.line(deadline)?;
        let (kind, rest) = line.split_at_checked(1).ok_or_else(|| malformed(&line))?;
        let number = || rest.parse::<i64>().map_err(|_| malformed(&line));
        Ok(match kind {
            "+" => Reply::Status(rest.to_owned()),
            "-" => Reply::Error(rest.to_owned()),
            ":" => Reply::Integer(number()?),
            "$" => Reply::Text(match usize::try_from(number()?) {
                Ok(len) => Some(self.text(len, deadline)?),
                Err(_) => None,
            }),
            "*" => {
                let count = number()?;
                Reply::Items((0..count).map(|_| self.reply(deadline)).collect::<Result<_, _>>()?)
            }
            _ => return Err(malformed(&line)),
        })
    }

    fn line(&mut self, deadline: Instant) -> io::Result<String> {
        let mut line = Vec::new();
        while line.last() != Some(&b'\n') {
            self.wait(deadline)?;
            // Returns at the end of the line, or with what there is.
            let buffer = self.stream.fill_buf()?;
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let taken = end.map_or(buffer.len(), |end| end + 1);
            if taken == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            line.extend_from_slice(&buffer[..taken]);
            self.stream.consume(taken);
        }
        let line = String::from_utf8_lossy(&line).into_owned();
        line.strip_suffix("\r\n").map(str::to_owned).ok_or_else(|| malformed(&line))
    }

    fn text(&mut self, len: usize, deadline: Instant) -> io::Result<String> {
        let mut text = vec![0; len + 2];
        self.wait(deadline)?;
        self.stream.read_exact(&mut text)?;
        text.truncate(len);
        String::from_utf8(text).map_err(|error| malformed(&error.to_string()))
    }

    /// Lets the next read wait until `deadline` at most.
    fn wait(&mut self, deadline: Instant) -> io::Result<()> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        self.stream.get_ref().set_read_timeout(Some(left))
    }
}

fn malformed(text: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("no reply: {text:?}"))
}
