//! Names that are what they look like.

use unicode_security::{GeneralSecurityProfile, MixedScript, skeleton};

/// Whether every character is visible and distinguishable: no control or format characters (which reverse or hide
/// text), no spaces but the plain one, and only one script per word.
pub fn is_plain(name: &str) -> bool {
    let is_plain = |c: char| c == ' ' || c.is_ascii_graphic() || c.identifier_allowed();
    name.chars().all(is_plain) && name.split(' ').all(MixedScript::is_single_script)
}

/// Whether two names could be mistaken for each other, also when they differ only in case.
pub fn are_alike(a: &str, b: &str) -> bool {
    let looks = |name: &str| skeleton(name).collect::<String>();
    looks(a) == looks(b) || looks(&a.to_lowercase()) == looks(&b.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_are_those_of_one_script_without_tricks() {
        for good in [
            "admin",
            "Jörg Müller",
            "o'brien",
            "Алексей",
            "田中 さくら",
            "ops@example.org",
            "a_b-c.d",
            "Иван Smith",
        ] {
            assert!(is_plain(good), "{good:?}");
        }
        for bad in [
            "ad\u{202e}nim", // right-to-left override
            "ad\u{200b}min", // zero width space
            "ad\u{ad}min",   // soft hyphen
            "\u{feff}admin",
            "ad\u{2066}min",
            "ad\u{a0}min",
            "ad\u{3164}min",  // Hangul filler, which is a letter
            "ad\u{e0041}min", // a tag
            "\u{430}dmin",    // Cyrillic а before Latin letters
            "ad\nmin",
        ] {
            assert!(!is_plain(bad), "{bad:?}");
        }
    }

    #[test]
    fn names_that_look_the_same_are_alike() {
        for (a, b) in [
            ("admin", "Admin"),
            ("admin", "adm\u{131}n"), // dotless i
            ("paypal", "раураӏ"),     // all of it Cyrillic
            ("admin", "adrnin"),
            ("user1", "userl"),
        ] {
            assert!(are_alike(a, b), "{a:?} {b:?}");
        }
        for (a, b) in [("admin", "admins"), ("user1", "user2"), ("Jörg", "Jürg"), ("anna", "hanna")] {
            assert!(!are_alike(a, b), "{a:?} {b:?}");
        }
    }
}
