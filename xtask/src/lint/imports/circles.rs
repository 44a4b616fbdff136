//! No two files need each other: cycles of files that import one another, directly or indirectly.
//!
//! A file below another may use its items: that edge, from a module to its parent, does not count.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::File;

type Module = Vec<String>;

/// Maximum number of `pub use` steps from a name to what it names.
const MAX_DETOUR: usize = 8;

/// Every cycle once, as its modules; the first is also where it ends.
pub fn circles(files: &BTreeMap<Module, File>) -> Vec<Vec<&Module>> {
    let edges = edges(files);
    let mut known = BTreeSet::new();
    let mut circles = Vec::new();
    for start in edges.keys() {
        if let Some(circle) = shortest_circle(start, &edges)
            && known.insert(circle.iter().copied().collect::<BTreeSet<_>>())
        {
            circles.push(circle);
        }
    }
    circles
}

fn edges(files: &BTreeMap<Module, File>) -> BTreeMap<&Module, BTreeSet<&Module>> {
    let mut edges = BTreeMap::new();
    for (module, file) in files {
        let paths = file.source.paths.iter().filter_map(|named| named.path_from_root(module));
        let used = paths.filter_map(|path| owner(files, &path, MAX_DETOUR));
        edges.insert(module, used.filter(|used| !module.starts_with(used)).collect());
    }
    edges
}

/// The module whose file defines what a path names, also if another re-exports it.
fn owner<'a>(files: &'a BTreeMap<Module, File>, path: &[String], detours: usize) -> Option<&'a Module> {
    let depth = (0..=path.len()).take_while(|length| files.contains_key(&path[..*length])).last()?;
    let (module, file) = files.get_key_value(&path[..depth])?;
    let Some((name, behind)) = path[depth..].split_first() else { return Some(module) };
    let called = file.source.paths.iter().find(|named| named.alias.as_ref() == Some(name));
    match called.and_then(|named| named.path_from_root(module)) {
        Some(elsewhere) if detours > 0 => owner(files, &[&elsewhere, behind].concat(), detours - 1),
        _ => Some(module),
    }
}

fn shortest_circle<'a>(
    start: &'a Module,
    edges: &BTreeMap<&'a Module, BTreeSet<&'a Module>>,
) -> Option<Vec<&'a Module>> {
    let mut reached_from: BTreeMap<&Module, &Module> = BTreeMap::new();
    let mut waiting = VecDeque::from([start]);
    while let Some(module) = waiting.pop_front() {
        for next in &edges[module] {
            if *next == start {
                let mut circle = vec![module];
                while let Some(before) = reached_from.get(circle[circle.len() - 1]) {
                    circle.push(before);
                }
                circle.reverse();
                return Some(circle);
            }
            if !reached_from.contains_key(next) {
                reached_from.insert(*next, module);
                waiting.push_back(next);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::source::module_of;
    use super::*;

    fn circles_of(texts: &[(&str, &str)]) -> Vec<String> {
        let file = |(path, text): &(&str, &str)| {
            let file = File { name: (*path).to_owned(), source: text.parse().unwrap() };
            (module_of(Path::new(path)), file)
        };
        let files: BTreeMap<Module, File> = texts.iter().map(file).collect();
        let name = |module: &&Module| files[*module].name.clone();
        circles(&files).iter().map(|circle| circle.iter().map(name).collect::<Vec<_>>().join(" ")).collect()
    }

    const ROOT: (&str, &str) = ("lib.rs", "mod a; mod b;");

    #[test]
    fn files_that_need_each_other_are_found() {
        let two = [ROOT, ("a.rs", "use crate::b::B;"), ("b.rs", "fn f() { super::a::g() }")];
        assert_eq!(circles_of(&two), ["a.rs b.rs"]);
        let over_others = [
            ROOT,
            ("a/mod.rs", "mod c; mod d;"),
            ("a/c.rs", "use super::d::D;"),
            ("a/d.rs", "use crate::b;"),
            ("b.rs", "fn f() { crate::a::c::g() }"),
        ];
        assert_eq!(circles_of(&over_others), ["a/c.rs a/d.rs b.rs"]);
        let over_the_parent =
            [ROOT, ("a.rs", "mod c; use c::C;"), ("a/c.rs", "use crate::b;"), ("b.rs", "use crate::a::A;")];
        assert_eq!(circles_of(&over_the_parent), ["a.rs a/c.rs b.rs"]);
    }

    #[test]
    fn a_name_counts_where_it_is_defined() {
        let parent = ("a/mod.rs", "mod c; mod d; pub use c::{C, Of as Renamed}; pub use d::D;");
        let text = |c| [ROOT, parent, ("a/c.rs", c), ("a/d.rs", "use super::Renamed;")];
        assert_eq!(circles_of(&text("use super::D;")), ["a/c.rs a/d.rs"]);
        assert_eq!(circles_of(&text("use crate::a; fn f() { a::d::g() }")), ["a/c.rs a/d.rs"]);
        assert_eq!(circles_of(&text("struct C; struct Of;")), [""; 0]);
    }

    #[test]
    fn a_child_may_use_its_parent_and_a_test_anything() {
        let files = [
            ROOT,
            ("a/mod.rs", "mod c; fn f() { c::g() } use self::c::C;"),
            ("a/c.rs", "use super::A; use crate::b::B;"),
            ("b.rs", "use time::Time; #[cfg(test)] mod tests { use crate::a::c::C; }"),
        ];
        assert_eq!(circles_of(&files), [""; 0]);
    }
}
