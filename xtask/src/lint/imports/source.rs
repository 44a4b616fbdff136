//! What a source file names, read from its tokens: paths in any spelling, in macros too.
//!
//! Production code only: code under `#[cfg(test)]` may import what it checks against.

use std::path::Path;
use std::str::FromStr;

use anyhow::{Result, anyhow};
use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// What a file names.
#[derive(Debug, Default)]
pub struct Source {
    pub paths: Vec<Named>,
    /// Test modules in files of their own.
    pub test_modules: Vec<String>,
}

/// A path that the code names: its identifiers, up to the first that no `::` follows.
#[derive(Debug)]
pub struct Named {
    /// The modules inside its file.
    within: Vec<String>,
    pub segments: Vec<String>,
    /// Its local name after `use`.
    pub alias: Option<String>,
}

impl Named {
    /// The path from the crate's root, of a name in the file of `module`; `None` if it leads outside.
    pub fn path_from_root(&self, module: &[String]) -> Option<Vec<String>> {
        let mut path = [module, &self.within].concat();
        let mut rest = self.segments.as_slice();
        match rest.first().map(String::as_str) {
            Some("crate") => {
                path.clear();
                rest = &rest[1..];
            }
            Some("self") => rest = &rest[1..],
            _ => {}
        }
        while let [first, behind @ ..] = rest
            && first == "super"
        {
            path.pop()?;
            rest = behind;
        }
        path.extend_from_slice(rest);
        Some(path)
    }

    /// Whether the path is absolute; others are relative to what is in scope.
    pub fn is_anchored(&self) -> bool {
        matches!(self.segments.first().map(String::as_str), Some("crate" | "super"))
    }
}

/// The module of a file, by its path from the crate's root.
pub fn module_of(relative: &Path) -> Vec<String> {
    let mut module: Vec<String> =
        relative.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if module.last().is_some_and(|last| last == "mod") || module == ["lib"] {
        module.pop();
    }
    module
}

impl FromStr for Source {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let tokens = text.parse::<TokenStream>().map_err(|error| anyhow!("not Rust: {error}"))?;
        let mut source = Self::default();
        source.read(tokens, &mut Vec::new());
        Ok(source)
    }
}

impl Source {
    fn read(&mut self, tokens: TokenStream, within: &mut Vec<String>) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            let rest = &tokens[at..];
            match token {
                _ if is_for_tests(rest) => at += self.skip_test(rest),
                TokenTree::Ident(word) if word == "use" && !is_punct(rest.get(1), '<') => {
                    let length = rest.iter().position(|token| is_punct(Some(token), ';'));
                    let length = length.unwrap_or(rest.len());
                    self.read_use(&rest[1..length], &[], within);
                    at += length;
                }
                TokenTree::Ident(word) if word == "mod" => {
                    if let [_, TokenTree::Ident(name), TokenTree::Group(inside), ..] = rest {
                        within.push(name.to_string());
                        self.read(inside.stream(), within);
                        within.pop();
                        at += 3;
                    } else {
                        at += 1;
                    }
                }
                TokenTree::Ident(_) => {
                    let (segments, length) = path(rest);
                    if segments.len() > 1 {
                        self.paths.push(Named { within: within.clone(), segments, alias: None });
                    }
                    at += length;
                }
                TokenTree::Group(group) => {
                    self.read(group.stream(), within);
                    at += 1;
                }
                _ => at += 1,
            }
        }
    }

    /// The item after `#[cfg(test)]`; returns its number of tokens.
    fn skip_test(&mut self, tokens: &[TokenTree]) -> usize {
        let ends = |token: &TokenTree| is_punct(Some(token), ';') || brace(token).is_some();
        let length = tokens.iter().position(ends).map_or(tokens.len(), |end| end + 1);
        if let [.., TokenTree::Ident(word), TokenTree::Ident(name), TokenTree::Punct(_)] = &tokens[..length]
            && word == "mod"
        {
            self.test_modules.push(name.to_string());
        }
        length
    }

    /// The tree of a `use`, or a branch of it below `trunk`.
    fn read_use(&mut self, tokens: &[TokenTree], trunk: &[String], within: &[String]) {
        let tokens = if is_separator(tokens) { &tokens[2..] } else { tokens };
        let (mut segments, length) = path(tokens);
        segments.splice(0..0, trunk.iter().cloned());
        // What is left is `{…}`, `*`, `as name` or nothing.
        match &tokens[length..] {
            [TokenTree::Group(group), ..] => {
                let branches: Vec<TokenTree> = group.stream().into_iter().collect();
                for branch in branches.split(|token| is_punct(Some(token), ',')) {
                    if !branch.is_empty() {
                        self.read_use(branch, &segments, within);
                    }
                }
            }
            rest => {
                if segments.len() > 1 && segments.last().is_some_and(|last| last == "self") {
                    segments.pop();
                }
                let alias = match rest {
                    [TokenTree::Punct(_), ..] => None,
                    [TokenTree::Ident(_), TokenTree::Ident(alias), ..] => Some(alias.to_string()),
                    _ => segments.last().cloned(),
                };
                self.paths.push(Named { within: within.to_vec(), segments, alias });
            }
        }
    }
}

/// The identifiers at the start of `tokens` joined by `::`, and the number of tokens including a trailing `::`.
fn path(tokens: &[TokenTree]) -> (Vec<String>, usize) {
    let mut segments = Vec::new();
    let mut at = 0;
    while let Some(TokenTree::Ident(segment)) = tokens.get(at) {
        segments.push(segment.to_string());
        at += 1;
        if !is_separator(&tokens[at..]) {
            break;
        }
        at += 2;
    }
    (segments, at)
}

fn is_separator(tokens: &[TokenTree]) -> bool {
    is_punct(tokens.first(), ':') && is_punct(tokens.get(1), ':')
}

fn is_punct(token: Option<&TokenTree>, wanted: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == wanted)
}

fn brace(token: &TokenTree) -> Option<&Group> {
    match token {
        TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => Some(group),
        _ => None,
    }
}

fn is_for_tests(tokens: &[TokenTree]) -> bool {
    match tokens {
        [TokenTree::Punct(hash), TokenTree::Group(attribute), ..] if hash.as_char() == '#' => {
            attribute.stream().to_string().replace(' ', "") == "cfg(test)"
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &str) -> Vec<String> {
        let source: Source = text.parse().unwrap();
        let module = ["a".to_owned(), "b".to_owned()];
        source
            .paths
            .iter()
            .map(|named| named.path_from_root(&module).unwrap_or_default().join("::"))
            .collect()
    }

    #[test]
    fn paths_are_read_in_every_spelling() {
        assert_eq!(named("use crate::x::{self, y::Z as W, q::*};"), ["x", "x::y::Z", "x::q"]);
        assert_eq!(named("pub(super) use super :: c;"), ["a::c"]);
        assert_eq!(named("fn f() { super::super::x::g(self::h::i) }"), ["x::g", "a::b::h::i"]);
        assert_eq!(named("mod tag { use super::d::E; }"), ["a::b::d::E"]);
        assert_eq!(named("macro_rules! m { () => { $crate::x::y() } }"), ["x::y"]);
        assert_eq!(named("format!(\"{}\", crate::x::Y)"), ["x::Y"]);
        assert_eq!(named("fn f() -> impl Sized + use<> {}"), [""; 0]);
        assert_eq!(named("use ::axum::Router;"), ["a::b::axum::Router"]);
    }

    #[test]
    fn what_is_no_production_code_names_nothing() {
        let text = "
            //! [`crate::x::Y`]
            const C: [&str; 2] = [\"crate::x::y\", r#\"\" crate::x::y\"#]; // crate::x::y
            #[cfg(test)] use crate::x::Y;
            #[cfg(test)] #[allow(dead_code)] fn f(y: crate::x::Y) { crate::x::y() }
            #[cfg(test)] mod testing;
            mod more;
            #[cfg(test)] mod tests { use crate::x::Y; }";
        assert_eq!(named(text), [""; 0]);
        assert_eq!(text.parse::<Source>().unwrap().test_modules, ["testing"]);
    }

    #[test]
    fn a_file_is_a_module() {
        assert_eq!(module_of(Path::new("api/ws/frame.rs")), ["api", "ws", "frame"]);
        assert_eq!(module_of(Path::new("api/mod.rs")), ["api"]);
        assert_eq!(module_of(Path::new("app.rs")), ["app"]);
        assert!(module_of(Path::new("lib.rs")).is_empty());
    }
}
