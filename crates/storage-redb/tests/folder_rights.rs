//! Folders that are closed to this process, or open in another one: real processes, of a user who
//! may do less than the one that runs the tests, if that is root.
#![allow(clippy::unwrap_used, reason = "this is all test code, in functions that are no tests")]

mod common;

use std::env;
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use common::{append, batch, create, identity, options};
use storage_redb::{OpenError, Store};
use tempfile::TempDir;

/// Tells the other process which folder to open.
const FOLDER: &str = "FOLDER_RIGHTS_FOLDER";
/// A user who owns nothing and may do nothing special.
const NOBODY: u32 = 65534;

/// One test at a time: between its birth and its own program, a child holds the locks of every folder
/// that any test of this process has open.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the other process does: it opens the folder, says what came of it, and holds it until its
/// input ends. Nothing if this is not the other process.
#[test]
fn the_other_process_holds_a_folder() {
    let Ok(folder) = env::var(FOLDER) else { return };
    let opened = Store::open(Path::new(&folder), &identity(), options(|_| {}));
    match &opened {
        Ok(_) => println!("it is open"),
        Err(OpenError::Forbidden { .. }) => println!("forbidden: {}", opened.unwrap_err()),
        Err(error) => println!("refused: {error}"),
    }
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

/// Another process that has said what came of it.
struct Other {
    process: Child,
    said: String,
    /// Open as long as it runs: it says more than is listened to.
    _output: BufReader<ChildStdout>,
}

impl Other {
    fn start(program: &Path, folder: &Path, user: Option<u32>) -> Self {
        let mut command = Command::new(program);
        command.args(["the_other_process_holds_a_folder", "--exact", "--nocapture"]);
        command.env(FOLDER, folder).stdin(Stdio::piped()).stdout(Stdio::piped());
        if let Some(user) = user {
            command.uid(user).gid(user);
        }
        let mut process = command.spawn().unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let mut said = String::new();
        while !["it is open", "forbidden", "refused"].iter().any(|word| said.contains(word)) {
            said.clear();
            assert!(output.read_line(&mut said).unwrap() > 0, "it ended without a word");
        }
        Self { process, said: said.trim().to_owned(), _output: output }
    }

    fn end(mut self) {
        drop(self.process.stdin.take());
        assert!(self.process.wait().unwrap().success());
    }
}

/// Folders, and a program that opens them as somebody to whom rights mean something.
struct Ground {
    dir: TempDir,
    program: PathBuf,
    user: Option<u32>,
}

impl Ground {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("program");
        fs::copy(env::current_exe().unwrap(), &program).unwrap();
        let is_root = fs::metadata(&program).unwrap().uid() == 0;
        allow(dir.path(), 0o755);
        Self { program, dir, user: is_root.then_some(NOBODY) }
    }

    /// A folder of that user's with a store in it.
    fn folder(&self, name: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        let (mut store, _) = Store::open(&path, &identity(), options(|_| {})).unwrap();
        store.commit(&batch(&[create(1), append(1, 1, 1, &[b"kept"])])).unwrap();
        drop(store);
        for entry in fs::read_dir(&path).unwrap() {
            chown(entry.unwrap().path(), self.user, self.user).unwrap();
        }
        chown(&path, self.user, self.user).unwrap();
        path
    }

    fn open(&self, folder: &Path) -> String {
        let other = Other::start(&self.program, folder, self.user);
        let said = other.said.clone();
        other.end();
        said
    }
}

fn allow(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_folder_that_another_process_has_open_is_refused_until_that_ends() {
    let _turn = alone();
    let dir = tempfile::tempdir().unwrap();
    let program = env::current_exe().unwrap();
    for is_killed in [false, true] {
        let mut other = Other::start(&program, dir.path(), None);
        assert_eq!(other.said, "it is open");
        let error = Store::open(dir.path(), &identity(), options(|_| {})).unwrap_err();
        assert!(matches!(error, OpenError::AlreadyOpen { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains("already open: stop the other process"), "{text}");
        if is_killed {
            other.process.kill().unwrap();
            other.process.wait().unwrap();
        } else {
            other.end();
        }
        Store::open(dir.path(), &identity(), options(|_| {})).unwrap();
    }
}

#[test]
fn folders_and_files_that_are_closed_to_the_process_are_named_with_advice() {
    let _turn = alone();
    let ground = Ground::new();
    let open = ground.folder("open");
    assert_eq!(ground.open(&open), "it is open", "as it is");
    let assert_forbidden = |folder: &Path, doing: &str| {
        let said = ground.open(folder);
        let expected = format!("forbidden: this process may not {doing} (Permission denied");
        assert!(said.contains(&expected.replace("{}", folder.to_str().unwrap())), "{said}");
        assert!(said.contains("let its user read and write the data folder"), "{said}");
    };
    for mode in [0o000, 0o555, 0o300] {
        let closed = ground.folder(&format!("closed-{mode:o}"));
        allow(&closed, mode);
        assert_forbidden(&closed, "write to {}");
        allow(&closed, 0o755);
        assert_eq!(ground.open(&closed), "it is open", "nothing was changed");
    }
    for file in ["lock", "log.redb"] {
        let folder = ground.folder(&format!("with-closed-{file}"));
        allow(&folder.join(file), 0o444);
        assert_forbidden(&folder, &format!("open {{}}/{file}"));
        allow(&folder.join(file), 0o644);
        assert_eq!(ground.open(&folder), "it is open", "nothing was changed");
    }
    let below = ground.folder("parent");
    allow(&below, 0o555);
    assert_forbidden(&below.join("new"), "create {}");
    allow(&below, 0o755);
}

#[test]
fn a_folder_on_a_file_system_that_is_read_only_is_refused_as_that() {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let folders = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (folder, options) = (Path::new(fields.next()?), fields.nth(1)?);
        (options.split(',').any(|option| option == "ro") && folder.is_dir()).then_some(folder)
    });
    // Not every machine has one; what the system would say is told apart in `folder`'s own test.
    let Some(folder) = folders.into_iter().next() else { return };
    let error = Store::open(folder, &identity(), options(|_| {})).unwrap_err();
    assert!(matches!(error, OpenError::ReadOnly { .. }), "{error}");
    let error = Store::open(&folder.join("new"), &identity(), options(|_| {})).unwrap_err();
    assert!(matches!(error, OpenError::ReadOnly { .. }), "{error}");
}
