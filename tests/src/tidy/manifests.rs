//! Rules about `Cargo.toml` files.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::house::{BINCODE, Kind, PLANTED_BUGS, member};

/// What a `Cargo.toml` of a member says, as far as the rules ask.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Manifest {
    /// The file's path from the root.
    pub path: String,
    /// The package name.
    pub name: String,
    /// All dependencies, of all platforms.
    pub dependencies: Vec<Dependency>,
    /// Whether the workspace's lints hold for the member.
    pub has_workspace_lints: bool,
}

/// One line of a dependency table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dependency {
    /// The package's own name, whatever it is called here.
    pub package: String,
    /// Whether only tests and benches see it.
    pub is_dev: bool,
}

/// What the root `Cargo.toml` says, as far as the rules ask.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Workspace {
    /// The folders of the members.
    pub members: Vec<String>,
    /// The shared dependencies: package name and version requirement, by what they are called.
    pub shared: BTreeMap<String, (String, Option<String>)>,
}

impl Workspace {
    /// Reads the root `Cargo.toml`.
    ///
    /// # Errors
    /// Says what is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let root: Table = text.parse().map_err(|error| format!("Cargo.toml: {error}"))?;
        let workspace =
            root.get("workspace").and_then(Value::as_table).ok_or("Cargo.toml: no [workspace]")?;
        let members = workspace.get("members").and_then(Value::as_array).into_iter().flatten();
        let members = members.filter_map(Value::as_str).map(str::to_owned).collect();
        let shared = table(workspace, "dependencies")
            .map(|(name, spec)| {
                let version = spec.as_str().or_else(|| text_of(spec, "version"));
                let package = text_of(spec, "package").unwrap_or(name);
                (name.clone(), (package.to_owned(), version.map(str::to_owned)))
            })
            .collect();
        Ok(Self { members, shared })
    }
}

impl Manifest {
    /// Reads a member's `Cargo.toml`.
    ///
    /// # Errors
    /// Says what is wrong with the text.
    pub fn parse(path: &str, text: &str, workspace: &Workspace) -> Result<Self, String> {
        let root: Table = text.parse().map_err(|error| format!("{path}: {error}"))?;
        let name = root.get("package").and_then(|package| text_of(package, "name"));
        let name = name.ok_or_else(|| format!("{path}: no package name"))?.to_owned();
        let mut dependencies = dependencies_of(&root, workspace);
        for (_, platform) in table(&root, "target") {
            let platform = platform.as_table();
            dependencies.extend(platform.into_iter().flat_map(|t| dependencies_of(t, workspace)));
        }
        let lints = root.get("lints").and_then(|lints| lints.get("workspace"));
        let has_workspace_lints = lints.and_then(Value::as_bool).unwrap_or(false);
        Ok(Self { path: path.to_owned(), name, dependencies, has_workspace_lints })
    }
}

/// Build scripts count as the crate itself: what they do, building the crate does.
fn dependencies_of(root: &Table, workspace: &Workspace) -> Vec<Dependency> {
    let sections =
        [("dependencies", false), ("build-dependencies", false), ("dev-dependencies", true)];
    let mut found = Vec::new();
    for (section, is_dev) in sections {
        for (name, spec) in table(root, section) {
            let shared = workspace.shared.get(name).map(|(package, _)| package.as_str());
            let package = text_of(spec, "package").or(shared).unwrap_or(name).to_owned();
            found.push(Dependency { package, is_dev });
        }
    }
    found
}

fn table<'a>(root: &'a Table, name: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    root.get(name).and_then(Value::as_table).into_iter().flatten()
}

fn text_of<'a>(spec: &'a Value, key: &str) -> Option<&'a str> {
    spec.get(key).and_then(Value::as_str)
}

/// Members import one another only downwards, as the house says.
#[must_use]
pub fn import_order(manifest: &Manifest) -> Vec<String> {
    let Manifest { path, name, .. } = manifest;
    let Some(rules) = member(name) else {
        return vec![format!("{path}: {name} is no member that the house knows (tidy/house.rs)")];
    };
    let ours = manifest.dependencies.iter().filter(|d| member(&d.package).is_some());
    let is_allowed = |d: &&Dependency| {
        let package = d.package.as_str();
        rules.imports.contains(&package) || d.is_dev && rules.test_imports.contains(&package)
    };
    let wrong = ours.filter(|d| !is_allowed(d));
    wrong
        .map(|d| {
            let (allowed, for_tests) = (rules.imports, rules.test_imports);
            let for_tests = if for_tests.is_empty() {
                String::new()
            } else {
                format!("; for tests: {for_tests:?}")
            };
            format!("{path}: {name} imports {}, allowed: {allowed:?}{for_tests}", d.package)
        })
        .collect()
}

/// Pure crates have no dependencies from outside but the listed ones.
#[must_use]
pub fn pure_dependencies(manifest: &Manifest) -> Vec<String> {
    let Manifest { path, name, .. } = manifest;
    let Some(Kind::Pure { outside }) = member(name).map(|rules| rules.kind) else {
        return Vec::new();
    };
    let from_outside =
        manifest.dependencies.iter().filter(|d| !d.is_dev && member(&d.package).is_none());
    let wrong = from_outside.filter(|d| !outside.contains(&d.package.as_str()));
    wrong
        .map(|d| {
            format!("{path}: {name} is pure and depends on {}, allowed: {outside:?}", d.package)
        })
        .collect()
}

/// bincode stays in one crate, so that there is one way out of it.
#[must_use]
pub fn bincode_in_one_crate(manifest: &Manifest) -> Vec<String> {
    let Manifest { path, name, dependencies, .. } = manifest;
    let (only, _) = BINCODE;
    let uses_it = dependencies.iter().any(|d| d.package == "bincode");
    if uses_it && name != only {
        return vec![format!("{path}: {name} depends on bincode, only {only} may")];
    }
    Vec::new()
}

/// bincode is pinned: 3.0.0 does not compile, on purpose.
#[must_use]
pub fn bincode_is_pinned(workspace: &Workspace) -> Vec<String> {
    let (_, pinned) = BINCODE;
    let bincodes = workspace.shared.values().filter(|(package, _)| package == "bincode");
    let wrong = bincodes.filter(|(_, version)| version.as_deref() != Some(pinned));
    wrong
        .map(|(_, found)| format!("Cargo.toml: bincode is {found:?}, expected {pinned:?}"))
        .collect()
}

/// Bugs are planted by tests alone: only a `dev-dependencies` section asks for the feature that
/// allows it, and no other feature brings it along.
///
/// `text` is any `Cargo.toml`, the root's too.
///
/// # Errors
/// Says what is wrong with the text.
pub fn bugs_planted_by_tests_alone(path: &str, text: &str) -> Result<Vec<String>, String> {
    let root: Table = text.parse().map_err(|error| format!("{path}: {error}"))?;
    let mut wrong = Vec::new();
    find_planted_bugs(&Value::Table(root), "", &mut wrong);
    let complaint = |place| format!("{path}: {place} asks for {PLANTED_BUGS}, only tests may");
    Ok(wrong.into_iter().map(complaint).collect())
}

/// Collects the places below `place`, keys joined by dots, that ask for the feature.
fn find_planted_bugs(value: &Value, place: &str, wrong: &mut Vec<String>) {
    if let Some(table) = value.as_table() {
        for (key, value) in table.iter().filter(|(key, _)| *key != "dev-dependencies") {
            let place = if place.is_empty() { key.clone() } else { format!("{place}.{key}") };
            find_planted_bugs(value, &place, wrong);
        }
    }
    let features = value.as_array().into_iter().flatten().filter_map(Value::as_str);
    let asks = |feature: &str| feature.rsplit('/').next() == Some(PLANTED_BUGS);
    if features.into_iter().any(asks) {
        wrong.push(place.to_owned());
    }
}

/// The workspace's lints hold for every member.
#[must_use]
pub fn workspace_lints(manifest: &Manifest) -> Vec<String> {
    if manifest.has_workspace_lints {
        return Vec::new();
    }
    vec![format!("{}: no `[lints] workspace = true`", manifest.path)]
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = r#"
        [workspace]
        members = ["crates/types", "tests"]
        [workspace.dependencies]
        bincode = { version = "=2.0.1", features = ["alloc"] }
        packer = { package = "bincode", version = "=2.0.1" }
        bytes = "1"
        types = { path = "crates/types" }
    "#;

    fn manifest(name: &str, rest: &str) -> Manifest {
        let workspace = Workspace::parse(ROOT).unwrap();
        let text = format!("[package]\nname = \"{name}\"\n{rest}");
        Manifest::parse("x/Cargo.toml", &text, &workspace).unwrap()
    }

    #[test]
    fn workspaces_are_read() {
        let workspace = Workspace::parse(ROOT).unwrap();
        assert_eq!(workspace.members, ["crates/types", "tests"]);
        assert_eq!(workspace.shared["bytes"], ("bytes".to_owned(), Some("1".to_owned())));
        assert_eq!(workspace.shared["types"], ("types".to_owned(), None));
        assert_eq!(workspace.shared["packer"].0, "bincode");
        assert!(Workspace::parse("[package]").is_err());
        assert!(Workspace::parse("[").is_err());
    }

    #[test]
    fn dependencies_are_found_in_every_section_and_form() {
        let text = r#"
            [dependencies]
            bytes.workspace = true
            packer.workspace = true
            [dev-dependencies]
            wire = { package = "codec", path = "../codec" }
            [build-dependencies]
            cc = "1"
            [target.'cfg(unix)'.dependencies]
            libc = "0.2"
        "#;
        let found = manifest("types", text).dependencies;
        let found: Vec<(&str, bool)> =
            found.iter().map(|d| (d.package.as_str(), d.is_dev)).collect();
        assert_eq!(
            found,
            [("bytes", false), ("bincode", false), ("cc", false), ("codec", true), ("libc", false)]
        );
    }

    #[test]
    fn upward_imports_are_named() {
        assert!(
            import_order(&manifest("codec", "[dependencies]\ntypes.workspace = true")).is_empty()
        );
        let wrong = import_order(&manifest("types", "[dependencies]\ncodec.workspace = true"));
        assert_eq!(wrong, ["x/Cargo.toml: types imports codec, allowed: []"]);
        let wrong = import_order(&manifest("sim", "[dev-dependencies]\nengine.workspace = true"));
        assert_eq!(wrong.len(), 1);
        let wrong = import_order(&manifest("server", "[dependencies]\ntests.workspace = true"));
        assert_eq!(wrong.len(), 1);
    }

    #[test]
    fn what_tests_alone_may_import_is_named_elsewhere() {
        let server = |section| manifest("server", &format!("[{section}]\nsim.workspace = true"));
        assert_eq!(import_order(&server("dev-dependencies")), [""; 0]);
        for section in ["dependencies", "build-dependencies"] {
            let wrong = import_order(&server(section));
            assert!(wrong[0].ends_with("; for tests: [\"sim\"]"), "{wrong:?}");
        }
    }

    #[test]
    fn unknown_members_are_named() {
        assert_eq!(import_order(&manifest("helpers", "")).len(), 1);
    }

    #[test]
    fn pure_crates_get_no_new_dependency() {
        let wrong =
            pure_dependencies(&manifest("routing", "[dependencies]\nbytes.workspace = true"));
        assert_eq!(wrong.len(), 1);
        let wrong = pure_dependencies(&manifest("types", "[build-dependencies]\ncc = \"1\""));
        assert_eq!(wrong.len(), 1);
        let right = [
            ("codec", "[dependencies]\nbytes.workspace = true\ntypes.workspace = true"),
            ("routing", "[dev-dependencies]\nproptest = \"1\""),
            ("server", "[dependencies]\nclap = \"4\""),
        ];
        for (name, rest) in right {
            assert_eq!(pure_dependencies(&manifest(name, rest)), [""; 0], "{name}");
        }
    }

    #[test]
    fn bincode_elsewhere_is_named_under_any_name() {
        let renamed = "[dev-dependencies]\npacker.workspace = true";
        assert_eq!(bincode_in_one_crate(&manifest("benches", renamed)).len(), 1);
        assert!(bincode_in_one_crate(&manifest("codec", renamed)).is_empty());
        assert!(bincode_in_one_crate(&manifest("benches", "")).is_empty());
    }

    #[test]
    fn another_bincode_is_named() {
        assert!(bincode_is_pinned(&Workspace::parse(ROOT).unwrap()).is_empty());
        for version in ["\"3\"", "\"2.0.1\"", "{ git = \"x\" }"] {
            let root = format!("[workspace]\n[workspace.dependencies]\nbincode = {version}");
            assert_eq!(bincode_is_pinned(&Workspace::parse(&root).unwrap()).len(), 1, "{version}");
        }
    }

    #[test]
    fn bugs_planted_outside_of_tests_are_named() {
        let wrong = |text| bugs_planted_by_tests_alone("x/Cargo.toml", text).unwrap();
        let engine = "[features]\nplanted-bugs = []\n\
                      [dev-dependencies]\nengine = { path = \".\", features = [\"planted-bugs\"] }";
        assert_eq!(wrong(engine), [""; 0]);
        let dependency = "[dependencies]\nengine = { path = \"e\", features = [\"planted-bugs\"] }";
        assert_eq!(
            wrong(dependency),
            ["x/Cargo.toml: dependencies.engine.features asks for planted-bugs, only tests may"]
        );
        assert_eq!(wrong("[features]\ndefault = [\"planted-bugs\"]").len(), 1);
        assert_eq!(wrong("[features]\ndefault = [\"engine/planted-bugs\"]").len(), 1);
        let shared = "[workspace.dependencies.engine]\nfeatures = [\"planted-bugs\"]";
        assert_eq!(wrong(shared).len(), 1);
        assert!(bugs_planted_by_tests_alone("x/Cargo.toml", "[").is_err());
    }

    #[test]
    fn members_without_the_lints_are_named() {
        assert!(workspace_lints(&manifest("types", "[lints]\nworkspace = true")).is_empty());
        assert_eq!(workspace_lints(&manifest("types", "[lints]\nworkspace = false")).len(), 1);
        assert_eq!(workspace_lints(&manifest("types", "")).len(), 1);
    }
}
