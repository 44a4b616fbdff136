use super::*;

const MONTH: Period = Period::seconds(30 * 86_400);

fn rule(text: &str) -> Rule {
    toml::from_str(&format!("name = \"r\"\n{text}")).unwrap()
}

/// The problems of a rule, each as `key: message`.
fn problems(text: &str) -> String {
    let found = Compiled::new(&rule(text), MONTH).expect_err(text);
    found.iter().map(|p| format!("{}: {}", p.key, p.message)).collect::<Vec<_>>().join("\n")
}

#[test]
fn bad_rules_are_refused_with_what_to_do() {
    let field = "field = \"cpu.usage_percent\"";
    let level = "warning = { above = 90 }";
    for (text, part) in [
        (format!("{field}\nwarning = {{ above = nan }}"), "warning: nothing compares"),
        (format!("{field}\nwarning = {{ above = inf }}"), "use finite ones"),
        (format!("{field}\nwarning = {{ above = 90, below = 5 }}"), "either above or below"),
        (format!("{field}\nwarning = {{ above = 80, clear = 90 }}"), "clear must not be above"),
        (format!("{field}\nwarning = {{ below = 80, clear = 70 }}"), "clear must not be below"),
        (format!("{field}\nwarning = {{ above = 9 }}\ncritical = {{ below = 8 }}"), "both be above"),
        (format!("{field}\nwarning = {{ above = 9 }}\ncritical = {{ above = 8 }}"), "swap the two"),
        (field.to_owned(), "a rule needs a level"),
        (format!("field = \"cpu.usage_percentage\"\n{level}"), "did you mean cpu.usage_percent?"),
        (format!("{field}\n{level}\nwindow = \"5m\""), "no window; add function"),
        (format!("{field}\n{level}\nfunction = \"average\""), "window: is missing"),
        (
            format!("{field}\n{level}\nfunction = \"average\"\nwindow = \"31d\""),
            "longer than history is kept (4w2d)",
        ),
        (format!("{field}\n{level}\nfunction = \"average\"\nwindow = \"8d\""), "at most 1w"),
        (format!("{field}\n{level}\nfunction = \"quantile\"\nwindow = \"5m\""), "from 0 to 1"),
        (format!("{field}\n{level}\nlevel = 3"), "does not use it"),
        (format!("{field}\n{level}\nlabels = {{ cpu = \"0\" }}"), "has no labels; remove cpu"),
        (
            format!("field = \"block_io.devices.read.requests\"\n{level}\nlabels = {{ devise = \"sda\" }}"),
            "did you mean device?",
        ),
        (format!("field = \"scheduler.runqueue_wait.histogram\"\n{level}"), "is a histogram"),
        (format!("field = \"network.interfaces.state\"\n{level}"), "is a text; add is"),
        (format!("field = \"processes.events\"\n{level}"), "is a label or a list"),
        (format!("{field}\n{level}\nis = \"x\""), "is a number; remove is"),
        (format!("{field}\n{level}\nof = \"disk.partitions.total_bytes\""), "not of the same thing"),
        (format!("{field}\n{level}\nfunction = \"forecast\"\nwindow = \"1h\""), "line: is missing"),
        (
            format!("{field}\n{level}\nfunction = \"average\"\nwindow = \"1h\"\nagainst = \"last_week\""),
            "least: is missing",
        ),
        (format!("{field}\n{level}\nonly_above = nan"), "only_above: nothing compares"),
        (format!("{field}\n{level}\nsummary = \"{}\"", "x".repeat(301)), "at most 300"),
    ] {
        let found = problems(&text);
        assert!(found.contains(part), "{text}\n=> {found}\n should contain {part}");
    }
    let short = Compiled::new(
        &rule(&format!(
            "{field}\n{level}\nfunction = \"average\"\nwindow = \"1h\"\nagainst = \"last_week\"\nleast = 5"
        )),
        Period::seconds(3 * 86_400),
    );
    assert!(short.unwrap_err()[0].message.contains("needs 1w1h of history"));
}

#[test]
fn all_problems_are_told_at_once() {
    let found = problems("field = \"nothing\"\nwindow = \"5m\"\nsummary = \"a\\tb\"");
    assert_eq!(found.lines().count(), 4, "{found}");
}

#[test]
fn labels_choose_rows() {
    let rule = rule(
        "field = \"disk.partitions.usage_percent\"\nlabels = { mountpoint = \"!/boot*\" }\nwarning = { above = 9 }",
    );
    let compiled = Compiled::new(&rule, MONTH).unwrap();
    let key = |mountpoint| [Label::text("/dev/sda1"), Label::text(mountpoint)];
    let table = &Layout::of(MetricType::Disk).tables[compiled.table];
    assert_eq!(table.labels[..2], ["device", "mountpoint"]);
    assert!(compiled.has(&key("/")) && !compiled.has(&key("/boot/efi")));
}
