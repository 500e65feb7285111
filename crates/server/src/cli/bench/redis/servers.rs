//! What the servers say of themselves: who they are, and what they have used.

use std::collections::BTreeMap;
use std::time::Duration;

use super::cluster::{Cluster, ask};
use crate::cli::bench::error::BenchError;
use crate::cli::bench::report::{REDIS, Subject, Used};
use crate::config::Address;
use crate::report::Report;
use crate::resp::Reply;

/// The servers that are loaded.
#[derive(Debug)]
pub(crate) struct Servers {
    pub(crate) subject: Subject,
    nodes: Vec<Address>,
    is_multiraft: bool,
}

/// The host and the number of a process, of which several nodes may be one.
type Process = (String, String);

/// What was used up to one moment.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Edge {
    /// By process; none if some node does not tell.
    cpu: Option<BTreeMap<Process, Duration>>,
    /// By node: commits, and entries.
    commits: Option<Vec<(u64, u64)>>,
    commit_p99_us: Option<u64>,
}

impl Servers {
    /// Asks who they are.
    ///
    /// # Errors
    /// One that was named does not answer.
    pub(crate) fn ask(at: &Address, cluster: &Cluster) -> Result<Self, BenchError> {
        let info = info(at, "server")?;
        let version = |name: &str| field(&info, name).map(str::to_owned);
        if let Some(version) = version("multiraft_version") {
            let report = status(at)?;
            let address = |host: &String, port| Address { host: host.clone(), port };
            let nodes: Vec<Address> =
                report.nodes.iter().map(|node| address(&node.host, node.port)).collect();
            let subject = Subject {
                target: REDIS.to_owned(),
                server: format!("multiraft {version}"),
                nodes: nodes.len(),
                groups: Some(report.counts.total),
            };
            return Ok(Self { subject, nodes, is_multiraft: true });
        }
        let nodes = cluster.nodes();
        let version = version("redis_version").unwrap_or_else(|| "of unknown version".to_owned());
        let (target, server) = (REDIS.to_owned(), format!("redis {version}"));
        let subject = Subject { target, server, nodes: nodes.len(), groups: None };
        Ok(Self { subject, nodes, is_multiraft: false })
    }

    /// How many groups have no leader that was heard from lately, as the first node sees it.
    ///
    /// # Errors
    /// It does not answer.
    pub(crate) fn leaderless(&self, at: &Address) -> Result<usize, BenchError> {
        if !self.is_multiraft {
            return Ok(0);
        }
        let counts = status(at)?.counts;
        Ok(counts.total.saturating_sub(counts.with_leader))
    }

    /// What they have used by now.
    pub(crate) fn edge(&self) -> Edge {
        let cpu = self.nodes.iter().map(cpu).collect();
        if !self.is_multiraft {
            return Edge { cpu, ..Edge::default() };
        }
        let own = |node: &Address| {
            let report = status(node).ok()?;
            let own = report.nodes.into_iter().find(|it| it.id == report.node)?.own?;
            Some((own.log_commits, own.log_entries?, own.commit_p99_us))
        };
        let told: Option<Vec<_>> = self.nodes.iter().map(own).collect();
        let p99 = told.iter().flatten().filter_map(|(.., p99)| *p99).max();
        let commits = told
            .map(|told| told.iter().map(|(commits, entries, _)| (*commits, *entries)).collect());
        Edge { cpu, commits, commit_p99_us: p99 }
    }
}

impl Edge {
    /// What was used between this moment and a later one; nothing of what not all told, or of one
    /// that was started again.
    pub(crate) fn until(&self, later: &Self) -> Used {
        let cpu = self.cpu.as_ref().zip(later.cpu.as_ref()).and_then(|(before, after)| {
            let used =
                |(process, before): (&Process, &Duration)| after.get(process)?.checked_sub(*before);
            before.iter().map(used).sum::<Option<Duration>>()
        });
        let commits = self.commits.as_ref().zip(later.commits.as_ref());
        let sums = commits.and_then(|(before, after)| {
            let mut sums = (0, 0);
            for ((commits, entries), (later_commits, later_entries)) in before.iter().zip(after) {
                sums.0 += later_commits.checked_sub(*commits)?;
                sums.1 += later_entries.checked_sub(*entries)?;
            }
            Some(sums)
        });
        Used {
            cpu,
            commits: sums.map(|(commits, _)| commits),
            entries: sums.map(|(_, entries)| entries),
            commit_p99_us: later.commit_p99_us,
        }
    }
}

/// A process and its CPU time; none if the node does not tell.
fn cpu(at: &Address) -> Option<(Process, Duration)> {
    let (server, cpu) = (info(at, "server").ok()?, info(at, "cpu").ok()?);
    let seconds = |name| field(&cpu, name).and_then(|text| text.parse::<f64>().ok());
    let total = seconds("used_cpu_sys")? + seconds("used_cpu_user")?;
    let process = (at.host.clone(), field(&server, "process_id")?.to_owned());
    Some((process, Duration::try_from_secs_f64(total).ok()?))
}

fn info(at: &Address, section: &str) -> Result<String, BenchError> {
    let reply = ask(at, &["INFO", section])?;
    if let Reply::Bulk(text) = &reply {
        return Ok(String::from_utf8_lossy(text).into_owned());
    }
    Err(refused(at, "INFO", &reply))
}

fn status(at: &Address) -> Result<Report, BenchError> {
    let question = "MULTIRAFT STATUS";
    let reply = ask(at, &["MULTIRAFT", "STATUS", "LIMIT", "0"])?;
    let Reply::Bulk(text) = &reply else {
        return Err(refused(at, question, &reply));
    };
    crate::cli::status::parse(text).map_err(|answer| {
        let advice = "run the same release here and there";
        BenchError::Refused { at: at.clone(), question, answer, advice }
    })
}

fn refused(at: &Address, question: &'static str, reply: &Reply) -> BenchError {
    let mut answer = format!("{reply:?}");
    if let Reply::Error(text) = reply {
        answer = text.clone().into_owned();
    }
    let advice = "let it answer, or name another with --at";
    BenchError::Refused { at: at.clone(), question, answer, advice }
}

/// A field of an answer to INFO.
fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(cpu: &[(&str, u64)], commits: &[(u64, u64)]) -> Edge {
        let cpu = cpu.iter().map(|(process, millis)| {
            (("host".to_owned(), (*process).to_owned()), Duration::from_millis(*millis))
        });
        let (cpu, commits) = (Some(cpu.collect()), Some(commits.to_vec()));
        Edge { cpu, commits, commit_p99_us: Some(9) }
    }

    #[test]
    fn a_process_with_several_nodes_is_counted_once() {
        let before = edge(&[("7", 100), ("7", 100), ("8", 50)], &[(1, 10), (2, 20), (3, 30)]);
        let after = edge(&[("7", 140), ("7", 140), ("8", 51)], &[(2, 15), (4, 21), (6, 30)]);
        let used = before.until(&after);
        assert_eq!(used.cpu, Some(Duration::from_millis(41)));
        assert_eq!((used.commits, used.entries, used.commit_p99_us), (Some(6), Some(6), Some(9)));
    }

    #[test]
    fn of_a_node_that_was_started_again_nothing_is_told() {
        let before = edge(&[("7", 100)], &[(5, 10)]);
        let used = before.until(&edge(&[("9", 1)], &[(1, 1)]));
        assert_eq!((used.cpu, used.commits, used.entries), (None, None, None));
        assert_eq!(before.until(&Edge::default()), Used::default());
    }

    #[test]
    fn fields_are_found_by_their_whole_names() {
        let info = "# CPU\r\nused_cpu_sys_children:9\r\nused_cpu_sys:1.25\r\n";
        assert_eq!(field(info, "used_cpu_sys"), Some("1.25"));
        assert_eq!(field(info, "used_cpu"), None);
    }
}
