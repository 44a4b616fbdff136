//! Checks the commands and links in the documents against what exists.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::{CommandFactory as _, Parser as _};

use crate::Cli;
use crate::step::{output, root};

/// Every document of the repository, with its text.
fn documents() -> Vec<(PathBuf, String)> {
    let files = output(
        "git",
        &["-C", &root().to_string_lossy(), "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
    );
    let files = files.unwrap();
    let read = |name: &str| {
        let path = root().join(name);
        let text = std::fs::read_to_string(&path).unwrap();
        (path, text)
    };
    files.lines().filter(|name| root().join(name).exists()).map(read).collect()
}

/// The targets of a document's links, as written.
fn links(text: &str) -> Vec<&str> {
    text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target).collect()
}

/// GitHub's anchor of a heading.
fn anchor(heading: &str) -> String {
    let heading = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// Lines to type: those of fenced blocks without a language, and `code` in the text.
fn commands(text: &str) -> Vec<String> {
    let mut commands = Vec::new();
    for (index, part) in text.split("```").enumerate() {
        if index % 2 == 1 {
            let (language, lines) = part.split_once('\n').unwrap_or((part, ""));
            if language.is_empty() {
                commands.extend(lines.replace("\\\n", " ").lines().map(str::to_owned));
            }
        } else {
            commands.extend(part.split('`').skip(1).step_by(2).map(|code| code.replace('\n', " ")));
        }
    }
    commands
}

/// The words of a command up to its comment, redirection or next command.
fn words(command: &str) -> Vec<&str> {
    command
        .split_whitespace()
        .take_while(|word| !matches!(*word, "#" | "|" | "&&" | ">" | "<" | "…"))
        .collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut broken = Vec::new();
    for (path, text) in documents() {
        for link in links(&text).into_iter().filter(|link| !link.contains("://")) {
            let (file, section) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            let found = target.exists()
                && (section.is_empty()
                    || std::fs::read_to_string(&target).is_ok_and(|text| {
                        text.lines().any(|line| line.starts_with('#') && anchor(line) == section)
                    }));
            if !found {
                broken.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert_eq!(broken, Vec::<String>::new());
}

/// Files that `code` names by their path in the repository, except those of an example, which are yet to be created.
#[test]
fn every_path_that_documents_name_is_there() {
    const EXAMPLE: &str = "perfwatch/src/collectors/handles/";
    const MADE: [&str; 3] = ["target/", "frontend/dist", "docs/benchmarks.json"];
    let top = output("git", &["-C", &root().to_string_lossy(), "ls-files", "--full-name"]).unwrap();
    let top: BTreeSet<&str> = top.lines().filter_map(|file| Some(file.split_once('/')?.0)).collect();
    let (mut named, mut missing) = (0, Vec::new());
    // A changelog describes the past.
    for (path, text) in documents().into_iter().filter(|(path, _)| !path.ends_with("CHANGELOG.md")) {
        for code in commands(&text) {
            for word in code.split_whitespace() {
                let word = word.trim_matches(|c: char| matches!(c, '(' | ')' | ',' | ';'));
                let is_path = word.split_once('/').is_some_and(|(first, _)| top.contains(first))
                    && word.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
                if !is_path || word == EXAMPLE || MADE.iter().any(|made| word.starts_with(made)) {
                    continue;
                }
                named += 1;
                if !root().join(word).exists() {
                    missing.push(format!("{}: {word}", path.display()));
                }
            }
        }
    }
    assert!(named > 20, "only {named} paths are recognised");
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn every_xtask_command_is_one() {
    let known: Vec<String> = Cli::command().get_subcommands().map(|c| c.get_name().to_owned()).collect();
    let mut wrong = Vec::new();
    for (path, text) in documents() {
        for command in commands(&text) {
            let command = words(&command);
            let Some(arguments) = command.strip_prefix(&["cargo", "xtask"]) else { continue };
            // A subcommand alone may lack required arguments; with arguments it must be complete.
            let fits = match arguments {
                [] | ["--help"] => true,
                [name] => known.iter().any(|known| known == name),
                arguments => Cli::try_parse_from([&["cargo xtask"], arguments].concat()).is_ok(),
            };
            if !fits {
                wrong.push(format!("{}: {}", path.display(), command.join(" ")));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

/// Those of one machine and of many.
fn compose_files() -> String {
    let read = |file: &str| std::fs::read_to_string(root().join(file)).unwrap();
    ["docker-compose.yml", "docker-compose.fleet.yml"].map(read).concat()
}

#[test]
fn every_file_and_service_of_compose_is_there() {
    let compose = compose_files();
    let mut wrong = Vec::new();
    for (path, text) in documents() {
        for command in commands(&text) {
            let command = words(&command);
            let Some(arguments) = command.strip_prefix(&["docker", "compose"]) else { continue };
            for pair in arguments.windows(2) {
                let is_there = match pair {
                    ["-f" | "--file", file] => root().join(file).exists(),
                    ["logs" | "exec" | "restart" | "-T", service] if !service.starts_with('-') => {
                        compose.contains(&format!("\n  {service}:\n"))
                    }
                    _ => true,
                };
                if !is_there {
                    wrong.push(format!("{}: {}", path.display(), pair.join(" ")));
                }
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

/// The names in capitals that follow `before`, up to a character that no variable name contains.
fn variables<'a>(text: &'a str, before: &str) -> BTreeSet<&'a str> {
    let name = |rest: &'a str| {
        let end = rest.find(|c: char| !c.is_ascii_uppercase() && !c.is_ascii_digit() && c != '_');
        end.map_or(rest, |end| &rest[..end])
    };
    text.split(before).skip(1).map(name).filter(|name| !name.is_empty()).collect()
}

#[test]
fn the_example_of_an_environment_has_what_compose_reads() {
    let example = std::fs::read_to_string(root().join(".env.example")).unwrap();
    let settings = example.lines().filter(|line| line.contains('=') && !line.starts_with("# "));
    let settings: BTreeSet<&str> =
        settings.filter_map(|line| line.trim_start_matches('#').split('=').next()).collect();
    assert_eq!(settings, variables(&compose_files(), "${"));
}

#[test]
fn every_variable_that_documents_name_is_read_somewhere() {
    let sources = output(
        "git",
        &[
            "grep",
            "--untracked",
            "-ohE",
            "PERFWATCH_[A-Z_]+",
            "--",
            "*.rs",
            "*.yml",
            "*.ts",
            "*.mjs",
            "*.yaml",
            "*.json",
            ".env.example",
        ],
    );
    let sources = sources.unwrap();
    let known: BTreeSet<&str> = sources.lines().collect();
    let mut unknown = BTreeSet::new();
    for (path, text) in documents() {
        for name in variables(&text, "PERFWATCH_") {
            // A secret can also be given as a file.
            let name = format!("PERFWATCH_{name}");
            if !known.contains(name.trim_end_matches("_FILE")) {
                unknown.insert(format!("{}: {name}", path.display()));
            }
        }
    }
    assert_eq!(unknown, BTreeSet::new());
}

#[test]
fn nginx_sends_the_page_with_the_policy_of_the_server() {
    let read = |file: &str| std::fs::read_to_string(root().join(file)).unwrap();
    let guard = read("perfwatch/src/api/guard.rs");
    let (_, policy) = guard.split_once("CONTENT_SECURITY_POLICY: &str = \"").unwrap();
    let policy = policy.split_once("\";").unwrap().0.replace("\\\n", "");
    let policy = policy.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        read("deploy/nginx.conf")
            .contains(&format!("add_header Content-Security-Policy \"{policy}\" always;"))
    );
}

#[test]
fn every_call_of_the_overview_is_served() {
    let read = |file: &str| std::fs::read_to_string(root().join(file)).unwrap();
    let served: serde_json::Value = serde_json::from_str(&read("perfwatch/openapi.json")).unwrap();
    let mut wrong = Vec::new();
    for code in commands(&read("docs/api.md")) {
        let Some((method @ ("GET" | "POST" | "PUT" | "DELETE"), path)) = code.split_once(' ') else {
            continue;
        };
        if served["paths"][path][method.to_lowercase()].is_null() {
            wrong.push(code);
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    let told = read("docs/api.md");
    let paths = served["paths"].as_object().unwrap().keys();
    let untold: Vec<&String> = paths.filter(|path| !told.contains(path.as_str())).collect();
    assert!(untold.is_empty(), "not in docs/api.md: {untold:?}");
}

#[test]
fn the_diagram_has_every_table_of_the_database() {
    let diagrams = std::fs::read_to_string(root().join("docs/diagrams.md")).unwrap();
    let (_, diagram) = diagrams.split_once("erDiagram").unwrap();
    let (diagram, _) = diagram.split_once("```").unwrap();
    let drawn: BTreeSet<&str> = diagram
        .lines()
        .filter_map(|line| line.strip_prefix("  "))
        .filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()) && !line.contains("--"))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    for engine in ["postgres", "sqlite"] {
        let mut made = BTreeSet::new();
        for file in std::fs::read_dir(root().join("migrations").join(engine)).unwrap() {
            let sql = std::fs::read_to_string(file.unwrap().path()).unwrap();
            let tables = sql.lines().filter_map(|line| line.strip_prefix("CREATE TABLE "));
            let tables = tables.filter(|line| !line.contains(" PARTITION OF "));
            made.extend(tables.filter_map(|line| Some(line.split_whitespace().next()?.to_owned())));
        }
        let only_postgres = ["metrics_snapshots"];
        let drawn =
            drawn.iter().copied().filter(|table| engine == "postgres" || !only_postgres.contains(table));
        assert_eq!(drawn.collect::<BTreeSet<_>>(), made.iter().map(String::as_str).collect(), "{engine}");
    }
}

#[test]
fn commands_and_anchors_are_recognised() {
    let text = "Type `cargo xtask\nrun` or\n```\ndocker compose \\\n  up -d # now\n```\n```sh\nother\n```\n";
    assert_eq!(commands(text), ["cargo xtask run", "docker compose    up -d # now"]);
    assert_eq!(words("docker compose up -d # now"), ["docker", "compose", "up", "-d"]);
    assert_eq!(anchor("## Behind a TLS-proxy, `now`"), "behind-a-tls-proxy-now");
    assert_eq!(links("[a](b.md#c) and ![d](e.png)"), ["b.md#c", "e.png"]);
}
