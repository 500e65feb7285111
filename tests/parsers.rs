//! Every parser of bytes from outside, fed with nonsense and with damaged sense: none panics, and
//! none takes more memory than twice what its limits say. `fuzz/` feeds the same functions for
//! longer, and looks at what they reach.

use std::cell::Cell;
use std::{fs, panic};

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestRunner;
use tests::parsers::{TARGETS, Target};
use tests::tidy::repository;

/// Inputs per parser.
const CASES: u32 = 10_000;
/// Bytes of an input of nonsense.
const NONSENSE_BYTES_MAX: usize = 300;
/// Damages of one input.
const DAMAGES_MAX: usize = 4;

/// Something that happens to bytes on their way.
#[derive(Clone, Debug)]
enum Damage {
    Overwritten { at: Index, with: u8 },
    CutShort { at: Index },
    CutOut { from: Index, to: Index },
    Inserted { at: Index, what: Vec<u8> },
    Repeated { from: Index, to: Index, at: Index },
}

impl Damage {
    fn applied_to(&self, bytes: &mut Vec<u8>) {
        let place = |at: &Index| at.index(bytes.len() + 1);
        match self {
            Self::Overwritten { at, with } => {
                if !bytes.is_empty() {
                    let at = at.index(bytes.len());
                    bytes[at] = *with;
                }
            }
            Self::CutShort { at } => bytes.truncate(place(at)),
            Self::CutOut { from, to } => {
                let (from, to) = (place(from), place(to));
                bytes.drain(from.min(to)..from.max(to));
            }
            Self::Inserted { at, what } => {
                let at = place(at);
                bytes.splice(at..at, what.iter().copied());
            }
            Self::Repeated { from, to, at } => {
                let (from, to, at) = (place(from), place(to), place(at));
                let piece = bytes[from.min(to)..from.max(to)].to_vec();
                bytes.splice(at..at, piece);
            }
        }
    }
}

fn damage() -> impl Strategy<Value = Damage> {
    let index = any::<Index>;
    // Bytes that lengths and counts have a taste for.
    let byte = prop_oneof![2 => any::<u8>(), 1 => prop::sample::select(b"\0\x01\x7f\x80\xff09-*$\r\n".to_vec())];
    prop_oneof![
        4 => (index(), byte.clone()).prop_map(|(at, with)| Damage::Overwritten { at, with }),
        1 => index().prop_map(|at| Damage::CutShort { at }),
        1 => (index(), index()).prop_map(|(from, to)| Damage::CutOut { from, to }),
        1 => (index(), prop::collection::vec(byte, 1..20))
            .prop_map(|(at, what)| Damage::Inserted { at, what }),
        1 => (index(), index(), index())
            .prop_map(|(from, to, at)| Damage::Repeated { from, to, at }),
    ]
}

/// Nonsense, or what the parser accepts after something happened to it.
fn input(seeds: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let nonsense = prop::collection::vec(any::<u8>(), 0..NONSENSE_BYTES_MAX);
    let damages = prop::collection::vec(damage(), 0..=DAMAGES_MAX);
    let damaged = (prop::sample::select(seeds), damages).prop_map(|(mut bytes, damages)| {
        damages.iter().for_each(|damage| damage.applied_to(&mut bytes));
        bytes
    });
    prop_oneof![1 => nonsense, 4 => damaged]
}

/// Feeds a parser, looks at the memory that it takes, and tells whether it accepted anything.
fn feed(target: &Target, bytes: &[u8]) -> bool {
    let mut outcome = Ok(false);
    // A panic must not pass through the counter, which would not notice its end.
    let used =
        allocation_counter::measure(|| outcome = panic::catch_unwind(|| (target.run)(bytes)));
    let is_accepted = outcome.unwrap_or_else(|panic| panic::resume_unwind(panic));
    if let Some(memory_max) = target.memory_max {
        let allowed = 2 * memory_max(bytes.len());
        let found = usize::try_from(used.bytes_max).expect("this fits into memory");
        assert!(found <= allowed, "{}: {found} bytes for {} of input", target.name, bytes.len());
    }
    is_accepted
}

#[test]
fn no_input_breaks_a_parser_or_takes_its_memory() {
    for target in TARGETS {
        let mut runner = TestRunner::new(ProptestConfig {
            cases: CASES,
            failure_persistence: None,
            ..ProptestConfig::default()
        });
        let (accepted, refused) = (Cell::new(0), Cell::new(0));
        let outcome = runner.run(&input((target.seeds)()), |bytes| {
            let counter = if feed(target, &bytes) { &accepted } else { &refused };
            counter.set(counter.get() + 1);
            Ok(())
        });
        outcome.unwrap_or_else(|failure| panic!("{}: {failure}", target.name));
        println!("{}: {} accepted, {} refused", target.name, accepted.get(), refused.get());
        assert!(accepted.get() > CASES / 50 && refused.get() > CASES / 50, "{}", target.name);
    }
}

#[test]
fn what_a_parser_accepts_to_begin_with_is_accepted() {
    for target in TARGETS {
        let seeds = (target.seeds)();
        assert!(!seeds.is_empty(), "{}", target.name);
        for (number, seed) in seeds.iter().enumerate() {
            assert!(feed(target, seed), "{}: seed {number} is refused", target.name);
        }
    }
}

#[test]
fn every_parser_has_a_fuzz_target() {
    let folder = repository::root().join("fuzz/fuzz_targets");
    let mut files: Vec<String> = fs::read_dir(folder)
        .expect("the fuzz targets are there")
        .map(|file| file.expect("they can be listed").file_name().into_string())
        .map(|name| name.expect("in ASCII").trim_end_matches(".rs").to_owned())
        .collect();
    files.sort_unstable();
    let mut names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    names.sort_unstable();
    assert_eq!(files, names);
}
