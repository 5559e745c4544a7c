//! The source, read as text: rules that no compiler checks.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use retrowaves::config::{Layers, STATION, Schema, Sources, TOWER};

const LINES_MAX: usize = 700;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file of ours with one of these endings, by its path from the root.
fn files(folders: &[&str], endings: &[&str]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).expect("folder").map(|entry| entry.expect("entry").path()));
        } else if endings.iter().any(|ending| path.to_string_lossy().ends_with(ending)) {
            let name = path.strip_prefix(root()).expect("inside").to_string_lossy().into_owned();
            found.push((name, fs::read_to_string(&path).expect("text")));
        }
    }
    found.sort();
    found
}

fn rust_files() -> Vec<(String, String)> {
    let found = files(&["src", "tests", "benches", "fuzz/fuzz_targets"].map(present), &[".rs"]);
    assert!(found.len() > 20, "the source was not found");
    found
}

/// A folder that is not there yet is as good as an empty one.
fn present(folder: &str) -> &str {
    if root().join(folder).exists() { folder } else { "src/lib.rs" }
}

/// The line without a comment; good enough for our own style.
fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or(line)
}

fn check(rule: &str, offences: Vec<String>) {
    assert!(offences.is_empty(), "{rule}:\n{}", offences.join("\n"));
}

/// Lines of `files` where `bad` is true, as `path:line: text`.
fn offences(files: &[(String, String)], bad: impl Fn(&str, &str) -> bool) -> Vec<String> {
    let lines =
        files.iter().flat_map(|(path, text)| text.lines().enumerate().map(move |(at, line)| (path, at + 1, line)));
    lines
        .filter(|(path, _, line)| bad(path, line))
        .map(|(path, at, line)| format!("{path}:{at}: {}", line.trim()))
        .collect()
}

#[test]
fn unsafe_is_in_sys_only() {
    // Benchmarks and tests may need some of their own (an allocator that counts); the program may not.
    let word = ["un", "safe"].concat();
    let bad = |path: &str, line: &str| {
        let line = code(line);
        let used = [" {", " fn", " impl", " extern"].iter().any(|after| line.contains(&format!("{word}{after}")));
        used && path.starts_with("src/") && !path.starts_with("src/sys/")
    };
    check("unsafe belongs to src/sys/", offences(&rust_files(), bad));
}

#[test]
fn thread_names_fit_15_bytes() {
    let mut names = 0;
    let mut bad = Vec::new();
    for (path, text) in rust_files().iter().filter(|(path, _)| path.starts_with("src/")) {
        for piece in text.split("thread::spawn(").skip(1).chain(text.split("\n    spawn(").skip(1)) {
            let Some(name) = piece.trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next()) else {
                continue;
            };
            names += 1;
            if name.len() > 15 || !name.is_ascii() {
                bad.push(format!("{path}: {name:?}"));
            }
        }
    }
    assert!(names > 0, "no thread was found: has `sys::thread::spawn` a new name?");
    check("Linux cuts thread names at 15 bytes", bad);
}

#[test]
fn nothing_is_left_to_do() {
    let words =
        [["FIX", "ME"], ["TO", "DO"], ["XX", "X"], ["todo", "!("], ["unimplemented", "!("]].map(|parts| parts.concat());
    let files =
        files(&["src", "tests", "docs", "Makefile", "README.md"].map(present), &[".rs", ".md", ".toml", "Makefile"]);
    check("leftovers", offences(&files, |_, line| words.iter().any(|word| line.contains(word.as_str()))));
}

#[test]
fn no_path_of_a_machine() {
    let paths = [["/ho", "me/"], ["/wo", "rk/"], ["/ro", "ot/"], ["/Us", "ers/"]].map(|parts| parts.concat());
    let folders = ["src", "tests", "benches", "docs", "scripts", "systemd", "board", "buildroot", "fuzz/fuzz_targets"];
    let mut all: Vec<&str> = folders.into_iter().filter(|folder| root().join(folder).exists()).collect();
    all.extend(["Makefile", "README.md", "Cargo.toml", ".ci/run"]);
    let files = files(&all, &[""]);
    check("paths of a machine", offences(&files, |_, line| paths.iter().any(|path| line.contains(path.as_str()))));
}

#[test]
fn files_hold_one_subject() {
    let long = |(path, text): (String, String)| {
        let lines = text.lines().count();
        (lines > LINES_MAX).then(|| format!("{path}: {lines} lines"))
    };
    check("a file has at most 700 lines", rust_files().into_iter().filter_map(long).collect());
}

#[test]
fn every_file_of_the_library_is_reached() {
    let mut reached: BTreeSet<String> = ["src/lib.rs".to_owned()].into();
    let mut open = vec!["src/lib.rs".to_owned()];
    while let Some(path) = open.pop() {
        let text = fs::read_to_string(root().join(&path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        let parent = path.trim_end_matches(".rs");
        let folder = ["/mod", "/lib"].iter().find_map(|end| parent.strip_suffix(end)).unwrap_or(parent);
        for line in text.lines() {
            let words: Vec<&str> = code(line).split_whitespace().collect();
            let name = match words.as_slice() {
                ["mod", name] | [_, "mod", name] => name.strip_suffix(';'),
                _ => None,
            };
            let Some(name) = name else { continue };
            let places = [format!("{folder}/{name}.rs"), format!("{folder}/{name}/mod.rs")];
            let found = places.into_iter().find(|place| root().join(place).exists());
            let found = found.unwrap_or_else(|| panic!("{path}: mod {name} has no file"));
            if reached.insert(found.clone()) {
                open.push(found);
            }
        }
    }
    let lost = |(path, _): (String, String)| {
        (path.starts_with("src/") && !path.starts_with("src/bin/") && !reached.contains(&path)).then_some(path)
    };
    check("reached by no mod line", rust_files().into_iter().filter_map(lost).collect());
}

#[test]
fn every_module_says_what_it_does() {
    let silent = |(path, text): (String, String)| (!text.starts_with("//!")).then_some(path);
    check("a file starts with //! and its subject", rust_files().into_iter().filter_map(silent).collect());
}

#[test]
fn the_shipped_configurations_are_the_defaults_and_have_every_key() {
    for schema in [&TOWER, &STATION] {
        let name = format!("docs/{}.toml", schema.program);
        let path = root().join(&name);
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(text.contains(schema.system_file), "{name} does not say where it belongs");
        for key in schema.keys {
            let variable = key.env.map(|env| format!(" [{env}]")).unwrap_or_default();
            let told = format!("# {}.{variable}\n{} = {}\n", key.meaning, key.table_and_name().1, key.default);
            assert!(text.contains(&told), "{name} lacks:\n{told}");
        }
        let layers = Layers::read(schema, &Sources { file: Some((path, text)), ..Sources::default() });
        assert!(layers.errors.is_empty(), "{:?}", layers.errors);
        let defaults = Layers::defaults(schema);
        for key in schema.keys {
            let (written, built_in) = (layers.get(key.path), defaults.get(key.path));
            assert_ne!(written.origin, built_in.origin, "{} is not in {name}", key.path);
            assert_eq!(written.value, built_in.value, "{}", key.path);
        }
    }
}

#[test]
fn every_key_is_documented_as_it_is() {
    let text = fs::read_to_string(root().join("docs/configuration.md")).expect("docs/configuration.md");
    for schema in [&TOWER, &STATION] {
        let title = format!("Settings of the {}\n", schema.program);
        let part = text.split("\n# ").find(|part| part.starts_with(&title));
        keys_are_documented(schema, part.unwrap_or_else(|| panic!("docs/configuration.md lacks # {title}")));
    }
}

fn keys_are_documented(schema: &Schema, text: &str) {
    for key in schema.keys {
        let (table, name) = key.table_and_name();
        let section = text.split("\n## ").find(|section| section.starts_with(&format!("`[{table}]`"))).unwrap_or("");
        let variable = key.env.map_or_else(|| "no variable".to_owned(), |env| format!("`{env}`"));
        let head = format!("- **`{name}`** = *{}* (`{}`), {variable}.\n", key.kind.type_name(), key.default);
        assert!(section.contains(&head), "docs/configuration.md lacks in [{table}]:\n{head}");
        let body = format!("{head}  {}. Allowed: {}.\n", key.meaning, key.kind.allowed());
        assert!(section.contains(&body), "docs/configuration.md lacks in [{table}]:\n{body}");
    }
}

/// What is linked or helps to test must allow what our own licence allows.
#[test]
fn licences_of_dependencies_are_permissive() {
    let allowed = [
        "MIT",
        "Apache-2.0",
        "BSD-1-Clause",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "ISC",
        "Zlib",
        "Unlicense",
        "Unicode-3.0",
        "CC0-1.0",
    ];
    let output = std::process::Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "--prefix", "none", "--format", "{p}|{l}"])
        .current_dir(root())
        .output()
        .expect("cargo");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8_lossy(&output.stdout).into_owned();
    let packages: BTreeSet<&str> = tree.lines().filter(|line| line.contains('|')).collect();
    assert!(packages.len() > 10, "no dependencies were found");
    let refused = packages.iter().filter(|line| {
        let (_, licence) = line.rsplit_once('|').unwrap_or(("", ""));
        let licence = licence.replace(['/', '(', ')'], " ").replace(" *", "");
        // "A OR B": one that we take is enough. "A AND B": both count.
        !licence.split(" AND ").all(|either| either.split_whitespace().any(|word| allowed.contains(&word)))
    });
    check("licences", refused.map(|line| (*line).to_owned()).collect());
}

/// SPECIFICATION.md names tests; each of them must be there.
#[test]
fn every_test_that_the_specification_names_exists() {
    let specification = fs::read_to_string(root().join("SPECIFICATION.md")).expect("SPECIFICATION.md");
    let sources: String = rust_files().into_iter().map(|(_, text)| text).collect();
    let named = specification.split('`').skip(1).step_by(2).filter(|word| {
        let family = word.split(|c: char| c.is_ascii_digit()).next().unwrap_or("");
        // A test without a number is named by a sentence; a field or a variable has fewer words.
        let sentence =
            word.matches('_').count() >= 4 && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        let families =
            ["a", "b", "c", "f", "fd", "h", "i", "k", "l", "log", "m", "n", "p", "q", "r", "s", "st", "v", "w"];
        word.contains('_') && (sentence || families.contains(&family))
    });
    let missing: Vec<&str> = named.filter(|test| !sources.contains(&format!("fn {test}("))).collect();
    assert!(missing.is_empty(), "named in SPECIFICATION.md and nowhere else: {missing:#?}");
}
