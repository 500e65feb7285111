//! Commands between a client and its connection.

use std::time::SystemTime;

use super::service::Ask;
use crate::REDIS_VERSION;
use crate::data::CommandError;
use crate::data::error::quote;
use crate::resp::number::parse_integer;
use crate::resp::{Args, Protocol, Reply};

/// `HELLO [2|3 [SETNAME name]]`
pub(crate) fn hello(ask: &mut Ask<'_>, args: Args<'_>) -> Reply {
    let protocol = match args.get(1).map(parse_integer) {
        None => ask.session.protocol,
        Some(Some(2)) => Protocol::Resp2,
        Some(Some(3)) => Protocol::Resp3,
        Some(Some(_)) => return Reply::error("NOPROTO unsupported protocol version"),
        Some(None) => {
            return Reply::error("ERR Protocol version is not an integer or out of range");
        }
    };
    let mut rest = args.from(2);
    while let Some(option) = rest.next() {
        if option.eq_ignore_ascii_case(b"auth") {
            return Reply::error("ERR AUTH is not supported: this server has no passwords");
        }
        let name = rest.next().filter(|_| option.eq_ignore_ascii_case(b"setname"));
        let Some(name) = name else {
            let option = quote(option, 128);
            return Reply::error(format!("ERR Syntax error in HELLO option '{option}'"));
        };
        if let Err(error) = ask.session.client.set_name(name) {
            return error;
        }
    }
    ask.session.protocol = protocol;
    Reply::Map(vec![
        (Reply::text("server"), Reply::text("redis")),
        (Reply::text("version"), Reply::text(REDIS_VERSION)),
        (Reply::text("proto"), Reply::Integer(protocol.number())),
        (Reply::text("id"), Reply::count64(ask.session.client.id)),
        (Reply::text("mode"), Reply::text("cluster")),
        (Reply::text("role"), Reply::text("master")),
        (Reply::text("modules"), Reply::Array(Vec::new())),
    ])
}

/// `PING [message]`
pub(crate) fn ping(_: &mut Ask<'_>, args: Args<'_>) -> Reply {
    match args.len() {
        1 => Reply::Status("PONG".into()),
        2 => Reply::text(args.at(1)),
        _ => CommandError::Arity { command: "ping".to_owned() }.into(),
    }
}

/// `ECHO message`
pub(crate) fn echo(_: &mut Ask<'_>, args: Args<'_>) -> Reply {
    Reply::text(args.at(1))
}

/// `QUIT`
pub(crate) fn quit(ask: &mut Ask<'_>, _: Args<'_>) -> Reply {
    ask.session.is_closing = true;
    Reply::OK
}

/// `RESET`
pub(crate) fn reset(ask: &mut Ask<'_>, _: Args<'_>) -> Reply {
    ask.session.client.reset();
    ask.session.multi.reset();
    ask.session.protocol = Protocol::Resp2;
    Reply::Status("RESET".into())
}

/// `SELECT 0`
pub(crate) fn select(_: &mut Ask<'_>, args: Args<'_>) -> Reply {
    match parse_integer(args.at(1)) {
        None => CommandError::NotInteger.into(),
        Some(0) => Reply::OK,
        Some(index) if i32::try_from(index).is_err() => {
            Reply::error("ERR value is out of range, value must between -2147483648 and 2147483647")
        }
        Some(_) => Reply::error("ERR SELECT is not allowed in cluster mode"),
    }
}

/// `READONLY`
pub(crate) fn readonly(ask: &mut Ask<'_>, _: Args<'_>) -> Reply {
    ask.session.client.set_readonly(true);
    Reply::OK
}

/// `READWRITE`
pub(crate) fn readwrite(ask: &mut Ask<'_>, _: Args<'_>) -> Reply {
    ask.session.client.set_readonly(false);
    Reply::OK
}

/// `ASKING`
pub(crate) fn asking(_: &mut Ask<'_>, _: Args<'_>) -> Reply {
    Reply::OK
}

/// `TIME`
pub(crate) fn time(_: &mut Ask<'_>, _: Args<'_>) -> Reply {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let parts = [since.as_secs().to_string(), since.subsec_micros().to_string()];
    Reply::Array(parts.iter().map(Reply::text).collect())
}

/// `WAIT replicas timeout`: nothing to wait for, since every acknowledged write is durable on a
/// majority.
pub(crate) fn wait(ask: &mut Ask<'_>, args: Args<'_>) -> Reply {
    if parse_integer(args.at(1)).is_none() {
        return CommandError::NotInteger.into();
    }
    match parse_integer(args.at(2)) {
        None => Reply::error("ERR timeout is not an integer or out of range"),
        Some(..0) => Reply::error("ERR timeout is negative"),
        Some(_) => {
            let topology = &ask.service.topology;
            let copies = topology.table.groups().map(|group| topology.sure_copies(group)).min();
            Reply::count(copies.unwrap_or(0))
        }
    }
}
