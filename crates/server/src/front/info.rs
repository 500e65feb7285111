//! INFO, CONFIG GET and CONFIG RESETSTAT: how the node is and what it is set to, in the names that tools look for.

use std::fmt::Write;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::replication::DiskHealth;
use super::service::{Ask, Service};
use super::stats::Sums;
use crate::REDIS_VERSION;
use crate::cpu::CpuTime;
use crate::data::glob;
use crate::resp::{Args, Reply};

/// What makes the text of a section.
type Section = fn(&Service, &mut Lines);

const SECTIONS: [(&str, Section); 12] = [
    ("Server", server),
    ("Clients", clients),
    ("Memory", memory),
    ("Persistence", persistence),
    ("Stats", stats),
    ("Replication", replication),
    ("CPU", cpu),
    (COMMANDSTATS, commandstats),
    ("Errorstats", errorstats),
    ("Cluster", cluster),
    ("Keyspace", keyspace),
    ("Multiraft", multiraft),
];
/// The one section that is told only to who asks for it, or for all.
const COMMANDSTATS: &str = "Commandstats";

/// Fields of a section.
struct Lines(String);

impl Lines {
    fn field(&mut self, name: &str, value: impl std::fmt::Display) {
        write!(self.0, "{name}:{value}\r\n").expect("a string takes everything");
    }
}

/// `INFO [section ...]`
pub(crate) fn info(ask: &mut Ask<'_>, args: Args<'_>) -> Reply {
    let asks_for = |name: &str| {
        let is_default = name != COMMANDSTATS;
        (args.len() == 1 && is_default)
            || args.from(1).any(|wanted| {
                let is = |text: &str| wanted.eq_ignore_ascii_case(text.as_bytes());
                is(name) || (is("default") && is_default) || is("all") || is("everything")
            })
    };
    let mut lines = Lines(String::new());
    for (name, section) in &SECTIONS {
        if asks_for(name) {
            if !lines.0.is_empty() {
                lines.0.push_str("\r\n");
            }
            write!(lines.0, "# {name}\r\n").expect("a string takes everything");
            section(ask.service, &mut lines);
        }
    }
    Reply::Verbatim(Bytes::from(lines.0))
}

fn server(service: &Service, lines: &mut Lines) {
    let uptime = service.started.elapsed().as_secs();
    lines.field("redis_version", REDIS_VERSION);
    lines.field("redis_mode", "cluster");
    lines.field("multiraft_version", env!("CARGO_PKG_VERSION"));
    lines.field("os", std::env::consts::OS);
    lines.field("arch_bits", usize::BITS);
    lines.field("process_id", std::process::id());
    lines.field("tcp_port", port(service));
    lines.field("server_time_usec", service.now().0.saturating_mul(1_000));
    lines.field("uptime_in_seconds", uptime);
    lines.field("uptime_in_days", uptime / 86_400);
}

fn clients(service: &Service, lines: &mut Lines) {
    lines.field("connected_clients", service.clients.len());
    lines.field("maxclients", service.clients.max());
    lines.field("blocked_clients", 0);
}

fn memory(service: &Service, lines: &mut Lines) {
    // What the process holds; where the system does not tell, nothing is invented.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let system = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    for (names, bytes) in [
        (&["used_memory", "used_memory_rss"][..], kib_after(&status, "VmRSS:")),
        (&["used_memory_peak"], kib_after(&status, "VmHWM:")),
        (&["total_system_memory"], kib_after(&system, "MemTotal:")),
    ] {
        for (name, bytes) in names.iter().zip(bytes.into_iter().cycle()) {
            lines.field(name, bytes);
            lines.field(&format!("{name}_human"), human(bytes));
        }
    }
    lines.field("mem_clients_normal", service.clients.bytes());
    lines.field("maxmemory", 0);
    lines.field("maxmemory_policy", "noeviction");
}

/// What stands behind a name in a file of `/proc`, in bytes; it is given in KiB.
fn kib_after(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// Bytes as Redis writes them for people.
fn human(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["K", "M", "G", "T"];
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    // In hundredths, so that no number of the machine rounds.
    let mut unit = 0;
    let mut size = 1024;
    while unit + 1 < UNITS.len() && bytes >= size * 1024 {
        (unit, size) = (unit + 1, size * 1024);
    }
    let hundredths = u128::from(bytes) * 100 / u128::from(size);
    format!("{}.{:02}{}", hundredths / 100, hundredths % 100, UNITS[unit])
}

fn persistence(service: &Service, lines: &mut Lines) {
    // Every acknowledged write is durable; the names are those of Redis's append-only file.
    lines.field("loading", 0);
    lines.field("async_loading", 0);
    lines.field("rdb_bgsave_in_progress", 0);
    lines.field("aof_enabled", 1);
    lines.field("aof_rewrite_in_progress", 0);
    let is_ok = service.replication.disk() == DiskHealth::Ok;
    lines.field("aof_last_write_status", if is_ok { "ok" } else { "err" });
    // The log is what an append-only file would be.
    lines.field("aof_current_size", service.replication.status().log_bytes);
}

fn stats(service: &Service, lines: &mut Lines) {
    let counters = &service.counters;
    lines.field("total_connections_received", counters.connections.load(Ordering::Relaxed));
    lines.field("total_commands_processed", counters.commands.load(Ordering::Relaxed));
    lines.field("rejected_connections", counters.rejected.load(Ordering::Relaxed));
    lines.field("evicted_clients", counters.evicted.load(Ordering::Relaxed));
    let stuck = counters.stuck.load(Ordering::Relaxed);
    lines.field("client_output_buffer_limit_disconnections", stuck);
    lines.field("total_error_replies", counters.errors.load(Ordering::Relaxed));
}

fn replication(_: &Service, lines: &mut Lines) {
    // Leadership is per group: to clients, every node is a master of its own slots.
    lines.field("role", "master");
    lines.field("connected_slaves", 0);
    lines.field("master_failover_state", "no-failover");
}

fn cpu(_: &Service, lines: &mut Lines) {
    let used = CpuTime::of_this_process();
    for (name, time) in [("used_cpu_sys", used.system), ("used_cpu_user", used.user)] {
        lines.field(name, format_args!("{}.{:06}", time.as_secs(), time.subsec_micros()));
    }
}

fn commandstats(service: &Service, lines: &mut Lines) {
    for (name, Sums { calls, micros, failed, refused }) in service.stats.commands() {
        // In hundredths, cut off, so that no number of the machine rounds.
        let hundredths = u128::from(micros) * 100 / u128::from(calls.max(1));
        let (per_call, rest) = (hundredths / 100, hundredths % 100);
        lines.field(
            &format!("cmdstat_{name}"),
            format_args!(
                "calls={calls},usec={micros},usec_per_call={per_call}.{rest:02},\
                 rejected_calls={refused},failed_calls={failed}"
            ),
        );
    }
}

fn errorstats(service: &Service, lines: &mut Lines) {
    for (code, count) in service.stats.errors() {
        lines.field(&format!("errorstat_{code}"), format_args!("count={count}"));
    }
}

fn cluster(_: &Service, lines: &mut Lines) {
    lines.field("cluster_enabled", 1);
}

fn keyspace(service: &Service, lines: &mut Lines) {
    let now = service.now();
    let (mut keys, mut expiring) = (0, 0);
    for group in service.led() {
        if let Some(keyspace) = service.keyspaces.look(group) {
            keys += keyspace.len(now);
            expiring += keyspace.expiring(now);
        }
    }
    if keys > 0 {
        lines.field("db0", format_args!("keys={keys},expires={expiring},avg_ttl=0"));
    }
}

fn multiraft(service: &Service, lines: &mut Lines) {
    let topology = &service.topology;
    lines.field("cluster_id", &topology.cluster);
    lines.field("node_id", topology.me);
    lines.field("nodes", topology.members.len());
    lines.field("groups", topology.table.group_count());
    lines.field("groups_led", service.led().count());
    lines.field("groups_leaderless", service.leaderless());
    let status = service.replication.status();
    lines.field("nodes_connected", 1 + status.links.peers.values().filter(|it| it.is_up).count());
    lines.field("store_id", status.store);
    lines.field("boot_id", status.boot);
    lines.field("log_bytes", status.log_bytes);
    lines.field("log_bytes_max", status.log_bytes_max);
    lines.field("log_commits", status.log_commits);
    match service.replication.disk() {
        DiskHealth::Ok => lines.field("disk", "ok"),
        DiskHealth::Stalled => lines.field("disk", "stalled"),
        DiskHealth::Failed => lines.field("disk", "failed"),
        DiskHealth::Full { free_bytes, needed_bytes, is_waiting } => {
            lines.field("disk", if is_waiting { "full-writes-wait" } else { "full" });
            lines.field("disk_free_bytes", free_bytes);
            lines.field("disk_needed_bytes", needed_bytes);
        }
    }
}

/// `CONFIG GET pattern [pattern ...]`
pub(crate) fn config_get(ask: &mut Ask<'_>, args: Args<'_>) -> Reply {
    let patterns: Vec<Vec<u8>> = args.from(2).map(<[u8]>::to_ascii_lowercase).collect();
    let wanted = |name: &str| patterns.iter().any(|it| glob::matches(it, name.as_bytes()));
    let settings = settings(ask.service).into_iter().filter(|(name, _)| wanted(name));
    Reply::Map(settings.map(|(name, value)| (Reply::text(name), Reply::text(value))).collect())
}

/// `CONFIG RESETSTAT`
pub(crate) fn config_resetstat(ask: &mut Ask<'_>, _: Args<'_>) -> Reply {
    ask.service.reset_counts();
    Reply::OK
}

/// What we are set to, in Redis's names where it has one.
fn settings(service: &Service) -> Vec<(&'static str, String)> {
    let limits = &service.limits;
    vec![
        ("appendfsync", "always".to_owned()),
        ("appendonly", "yes".to_owned()),
        ("cluster-enabled", "yes".to_owned()),
        ("databases", "1".to_owned()),
        ("maxclients", limits.clients_max.to_string()),
        ("maxmemory", "0".to_owned()),
        ("maxmemory-clients", limits.clients_bytes_max.to_string()),
        ("maxmemory-policy", "noeviction".to_owned()),
        ("port", port(service).to_string()),
        ("proto-max-bulk-len", limits.request.arg_bytes_max.to_string()),
        ("save", String::new()),
        ("tcp-keepalive", limits.keepalive.map_or(0, |time| time.as_secs()).to_string()),
        ("timeout", "0".to_owned()),
    ]
}

fn port(service: &Service) -> u16 {
    let topology = &service.topology;
    topology.members.get(&topology.me).map_or(0, |member| member.port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_written_for_people_as_redis_does() {
        for (bytes, expected) in [
            (0, "0B"),
            (1_023, "1023B"),
            (1_024, "1.00K"),
            (1_640_080, "1.56M"),
            (12_648_448, "12.06M"),
            (25_276_510_208, "23.54G"),
            (u64::MAX, "16777215.99T"),
        ] {
            assert_eq!(human(bytes), expected);
        }
    }

    #[test]
    fn sizes_are_found_in_files_of_the_system() {
        let text = "VmPeak:\t  9 kB\nVmRSS:\t    1234 kB\nVmSwap: x kB\n";
        assert_eq!(kib_after(text, "VmRSS:"), Some(1_234 << 10));
        assert_eq!(kib_after(text, "VmHWM:"), None);
        assert_eq!(kib_after(text, "VmSwap:"), None);
    }
}
