//! Holds this repository to the rules of the house; see `tests::tidy` for what they are.

use tests::tidy::house::{Kind, MEMBERS, OUTSIDE, member, member_of};
use tests::tidy::manifests::{self, Manifest, Workspace};
use tests::tidy::repository::{self, File};
use tests::tidy::{papers, sources};

fn files() -> Vec<File> {
    repository::read(&repository::root()).expect("the repository can be read")
}

fn text_of<'a>(files: &'a [File], path: &str) -> Option<&'a str> {
    files.iter().find(|file| file.path == path).map(|file| file.text.as_str())
}

/// The manifests of all members, and the root's.
fn manifests(files: &[File]) -> (Workspace, Vec<Manifest>) {
    let root = text_of(files, "Cargo.toml").expect("the root has a Cargo.toml");
    let workspace = Workspace::parse(root).unwrap_or_else(|wrong| panic!("{wrong}"));
    let members = workspace.members.iter().map(|folder| {
        let path = format!("{folder}/Cargo.toml");
        let text = text_of(files, &path).unwrap_or_else(|| panic!("{path} is not there"));
        Manifest::parse(&path, text, &workspace).unwrap_or_else(|wrong| panic!("{wrong}"))
    });
    let members = members.collect();
    (workspace, members)
}

fn check_manifests(rule: impl Fn(&Manifest) -> Vec<String>) {
    let (_, members) = manifests(&files());
    assert_holds(members.iter().flat_map(rule));
}

fn check_files(rule: impl Fn(&File) -> Vec<String>) {
    assert_holds(files().iter().flat_map(rule));
}

#[track_caller]
fn assert_holds(complaints: impl Iterator<Item = String>) {
    let complaints: Vec<String> = complaints.collect();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn members_import_one_another_only_downwards() {
    check_manifests(manifests::import_order);
}

#[test]
fn pure_crates_have_only_listed_dependencies() {
    check_manifests(manifests::pure_dependencies);
}

#[test]
fn bincode_is_pinned_and_in_codec_alone() {
    check_manifests(manifests::bincode_in_one_crate);
    let (workspace, _) = manifests(&files());
    assert_holds(manifests::bincode_is_pinned(&workspace).into_iter());
}

#[test]
fn only_tests_can_plant_bugs() {
    check_files(|file| match file.path.ends_with("Cargo.toml") {
        true => manifests::bugs_planted_by_tests_alone(&file.path, &file.text)
            .unwrap_or_else(|wrong| vec![wrong]),
        false => Vec::new(),
    });
}

#[test]
fn the_lints_hold_for_every_member() {
    check_manifests(manifests::workspace_lints);
}

#[test]
fn every_folder_with_a_manifest_is_a_member() {
    let files = files();
    let (workspace, _) = manifests(&files);
    let folders = files.iter().filter_map(|file| file.path.strip_suffix("/Cargo.toml"));
    let is_known =
        |folder: &str| folder == OUTSIDE || workspace.members.iter().any(|m| m == folder);
    let strays = folders.filter(|folder| !is_known(folder));
    assert_holds(strays.map(|folder| format!("{folder} is no member of the workspace")));
}

#[test]
fn pure_crates_declare_that_they_are() {
    let files = files();
    let (_, members) = manifests(&files);
    let pure = members.iter().filter(|manifest| {
        let rules = member(&manifest.name);
        rules.is_some_and(|rules| matches!(rules.kind, Kind::Pure { .. }))
    });
    let mut found = 0;
    assert_holds(pure.flat_map(|manifest| {
        found += 1;
        let path = manifest.path.replace("Cargo.toml", "src/lib.rs");
        match files.iter().find(|file| file.path == path) {
            Some(root) => sources::pure_root(root),
            None => vec![format!("{path} is not there")],
        }
    }));
    assert!(found >= 4, "found only {found} pure crates");
}

#[test]
fn pure_crates_do_not_take_std_back() {
    check_files(sources::no_std_taken_back);
}

#[test]
fn only_those_who_lead_start_threads_and_read_clocks() {
    check_files(sources::threads_and_clocks);
}

#[test]
fn no_file_is_too_long() {
    check_files(sources::length);
}

#[test]
fn everything_is_ascii() {
    check_files(sources::ascii);
}

#[test]
fn nothing_is_left_unfinished() {
    check_files(sources::finished);
}

#[test]
fn every_crate_has_its_invariant_in_the_architecture() {
    let files = files();
    let text = text_of(&files, "ARCHITECTURE.md").expect("ARCHITECTURE.md is there");
    let crates: Vec<&str> = MEMBERS.iter().map(|member| member.name).collect();
    assert_holds(papers::invariants(text, &crates).into_iter());
}

#[test]
fn the_code_of_the_readme_is_that_of_the_examples() {
    let files = files();
    let readme = files.iter().find(|file| file.path == "README.md").expect("README.md is there");
    let examples: Vec<&File> =
        files.iter().filter(|file| file.path.starts_with("examples/")).collect();
    assert!(readme.text.contains("\n```rust\n"), "the README shows code");
    assert_holds(papers::quotes(readme, &examples).into_iter());
}

#[test]
fn every_source_file_belongs_to_a_member() {
    check_files(|file| {
        let is_source = file.path.ends_with(".rs");
        let is_known = member_of(&file.path).and_then(member).is_some();
        let is_outside = file.path.split('/').next() == Some(OUTSIDE);
        if is_source && !is_known && !is_outside {
            return vec![format!("{} belongs to no member of the house", file.path)];
        }
        Vec::new()
    });
}
