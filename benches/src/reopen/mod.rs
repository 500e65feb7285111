//! `reopen`: how long it takes from a SIGKILL until a log of 1 GiB takes writes again.
//!
//! A process fills a log until 1 GiB of it is live, and is killed while it goes on. Then processes
//! open it, one after the other, commit an entry, and are killed as well. What counts is the time in
//! each from before the opening until after that commit: the log's own, without the program's start,
//! elections, or a state machine. Nothing was released and there is no checkpoint, so that every
//! record counts and every item is replayed.
//!
//! Counting rule: every opening must find every group, with no fewer entries than were acknowledged;
//! the last one reads all of them back, each of which must be what was appended. Beside each opening
//! stands what reading the file takes, once, from its beginning to its end, as warm or as cold: no
//! way of checking all of it takes less.

mod contents;
mod page_cache;
mod part;

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::arguments::Options;
use crate::disk::{Scratch, refuse_memory, wrong};
use crate::figure::{Emit, Wrong};
use crate::report::{Details, Line, Peer, Samples};

use contents::Contents;
use page_cache::{PageCache, read_through};
use part::{Full, Part};

pub(crate) use part::{PART, play};

/// What logs hold; the cases, which never change their meaning, are these, each warm and cold.
const LOGS: [Contents; 3] = [
    Contents { groups: 1000, payload_bytes: 1024 },
    Contents { groups: 100_000, payload_bytes: 1024 },
    Contents { groups: 100_000, payload_bytes: 100 },
];
const CACHES: [PageCache; 2] = [PageCache::Warm, PageCache::Cold];

/// What a file's room is counted in.
const BLOCK_BYTES: u64 = 512;

fn case_name(contents: Contents, live_mib: u64, cache: PageCache) -> String {
    let Contents { groups, payload_bytes } = contents;
    format!("live={live_mib}MiB groups={groups} payload={payload_bytes} cache={}", cache.name())
}

/// Measures every case asked for.
pub(crate) fn measure(options: &Options, emit: &mut Emit<'_>) -> Result<(), Wrong> {
    refuse_memory(&options.dir)?;
    for contents in LOGS {
        let name = |cache| case_name(contents, options.live_mib, cache);
        let is_asked = |cache: &PageCache| name(*cache).contains(&options.case);
        let caches: Vec<PageCache> = CACHES.into_iter().filter(is_asked).collect();
        if !caches.is_empty() {
            measure_log(contents, &caches, options)?.into_iter().for_each(&mut *emit);
        }
    }
    Ok(())
}

fn measure_log(
    contents: Contents,
    caches: &[PageCache],
    options: &Options,
) -> Result<Vec<Line>, Wrong> {
    let scratch = Scratch::new(&options.dir)?;
    let (dir, file) = (scratch.path("log"), scratch.path("log/log.redb"));
    let mut filling = Part::fill(&dir, contents, options.live_mib << 20)?;
    let full = filling.full()?;
    filling.kill()?;
    let mut sides: Vec<Side> = caches.iter().map(|cache| Side::new(*cache)).collect();
    for run in 1..=options.runs {
        for (number, side) in sides.iter_mut().enumerate() {
            let is_last = run == options.runs && number + 1 == caches.len();
            if options.with_peer {
                side.cache.prepare(&file)?;
                side.reading.push(read_through(&file)?.as_secs_f64());
            }
            side.cache.prepare(&file)?;
            side.open(&dir, contents, full, is_last)?;
        }
    }
    let file = std::fs::metadata(&file).map_err(wrong("look at the log"))?;
    let bytes = file.blocks() * BLOCK_BYTES;
    let line = |side: Side| side.line(contents, full, bytes, options);
    Ok(sides.into_iter().map(line).collect())
}

/// What was measured with the file in memory, or not.
struct Side {
    cache: PageCache,
    total_s: Samples,
    open_s: Samples,
    commit_s: Samples,
    cpu_s: Samples,
    memory_mib: Samples,
    entries: Samples,
    reading: Samples,
}

impl Side {
    fn new(cache: PageCache) -> Self {
        Self {
            cache,
            total_s: Samples::default(),
            open_s: Samples::default(),
            commit_s: Samples::default(),
            cpu_s: Samples::default(),
            memory_mib: Samples::default(),
            entries: Samples::default(),
            reading: Samples::default(),
        }
    }

    /// One opening, in a process of its own.
    fn open(
        &mut self,
        dir: &Path,
        contents: Contents,
        full: Full,
        checked: bool,
    ) -> Result<(), Wrong> {
        let mut opening = Part::open(dir, contents, full.commits, checked)?;
        let opened = opening.opened()?;
        if checked {
            opening.checked()?;
        }
        opening.kill()?;
        self.total_s.push(opened.open_s + opened.commit_s);
        self.open_s.push(opened.open_s);
        self.commit_s.push(opened.commit_s);
        self.cpu_s.push(opened.cpu_s);
        self.memory_mib.push(mib(opened.memory_bytes));
        #[expect(clippy::cast_precision_loss, reason = "far fewer than a float tells apart")]
        self.entries.push(opened.entries as f64);
        Ok(())
    }

    fn line(self, contents: Contents, full: Full, file_bytes: u64, options: &Options) -> Line {
        let mut details: Details = vec![
            ("open_s", self.open_s),
            ("first_commit_s", self.commit_s),
            ("cpu_s", self.cpu_s),
            ("memory_mib", self.memory_mib),
            ("entries", self.entries),
        ];
        for (name, bytes) in [("live_mib", full.live_bytes), ("file_mib", file_bytes)] {
            let mut samples = Samples::default();
            samples.push(mib(bytes));
            details.push((name, samples));
        }
        Line {
            figure: "reopen",
            case: case_name(contents, options.live_mib, self.cache),
            unit: "s",
            samples: self.total_s,
            details,
            peer: options.with_peer.then(|| Peer {
                name: "reading the file",
                samples: self.reading,
                details: Vec::new(),
                settings: "once, from beginning to end, 1 MiB at a time, cached in the same way"
                    .into(),
            }),
            settings: format!(
                "from the call that opens to the end of the first commit, in a new process each \
                 time, after SIGKILL of the process before; {} entries per commit, in turn over the \
                 groups, nothing released, no checkpoints; storage-redb, default options; {}: {}",
                contents.entries_per_commit(),
                self.cache.name(),
                self.cache.how()
            ),
        }
    }
}

fn mib(bytes: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "far fewer than a float tells apart")]
    let bytes = bytes as f64;
    bytes / f64::from(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_names_never_change() {
        let names = LOGS.into_iter().flat_map(|contents| {
            CACHES.into_iter().map(move |cache| case_name(contents, 1024, cache))
        });
        let expected = [
            "live=1024MiB groups=1000 payload=1024 cache=warm",
            "live=1024MiB groups=1000 payload=1024 cache=cold",
            "live=1024MiB groups=100000 payload=1024 cache=warm",
            "live=1024MiB groups=100000 payload=1024 cache=cold",
            "live=1024MiB groups=100000 payload=100 cache=warm",
            "live=1024MiB groups=100000 payload=100 cache=cold",
        ];
        assert_eq!(names.collect::<Vec<_>>(), expected);
    }
}
