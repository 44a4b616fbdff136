//! Command lines without their secrets.

/// Characters kept.
const MAX_LENGTH: usize = 256;
const MASK: &str = "********";

/// Parts of names whose values are secret: those that log and process scrubbers of the field look for.
const SECRET: [&str; 12] = [
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "api_key",
    "apikey",
    "api-key",
    "credential",
    "private_key",
    "access_key",
];

/// A `/proc/[pid]/cmdline`, as a user would have typed it; `None` if it is empty, as a kernel thread's is.
pub(super) fn masked(cmdline: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(cmdline);
    let arguments = text.trim_end_matches('\0').split('\0');
    let mut out = String::new();
    // Whether the next argument is the value of this one.
    let mut is_value = false;
    for argument in arguments {
        if !out.is_empty() {
            out.push(' ');
        }
        if std::mem::take(&mut is_value) && !argument.starts_with('-') {
            out.push_str(MASK);
        } else {
            let (shown, takes_value) = of_argument(argument);
            out.extend(shown.chars().map(|c| if c.is_control() { ' ' } else { c }));
            is_value = takes_value;
        }
        if out.len() > MAX_LENGTH {
            break;
        }
    }
    let end = out.char_indices().nth(MAX_LENGTH).map_or(out.len(), |(at, _)| at);
    if end < out.len() {
        out.truncate(end);
        out.push('…');
    }
    Some(out).filter(|out| !out.trim().is_empty())
}

/// An argument with its secrets masked, and whether the next one is a secret.
fn of_argument(argument: &str) -> (String, bool) {
    // A shell's `-c`, or a process that has written its title over its arguments, has several words in one.
    if argument.contains(' ') {
        let mut is_value = false;
        let words: Vec<String> = argument
            .split(' ')
            .map(|word| {
                if std::mem::take(&mut is_value) && !word.starts_with('-') {
                    return MASK.to_owned();
                }
                let (shown, takes_value) = of_word(word);
                is_value = takes_value;
                shown
            })
            .collect();
        return (words.join(" "), is_value);
    }
    of_word(argument)
}

fn of_word(word: &str) -> (String, bool) {
    if let Some(at) = word.find(['=', ':']).filter(|at| !word[*at..].starts_with("://"))
        && is_secret(&word[..at])
    {
        let rest = &word[at + 1..];
        // `Authorization: Bearer x` has its value in the words that follow.
        return (format!("{}{}", &word[..=at], if rest.is_empty() { "" } else { MASK }), rest.is_empty());
    }
    if word.starts_with('-') && is_secret(word) {
        return (word.to_owned(), true);
    }
    if ["bearer", "basic"].iter().any(|scheme| word.eq_ignore_ascii_case(scheme)) {
        return (word.to_owned(), true);
    }
    (without_userinfo(word), false)
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET.iter().any(|part| name.contains(part))
}

/// `scheme://user:password@host` without the password.
fn without_userinfo(word: &str) -> String {
    let masked = || {
        let authority = word.find("://")? + 3;
        let end = word[authority..].find(['/', '?', '#']).map_or(word.len(), |end| authority + end);
        let at = authority + word[authority..end].rfind('@')?;
        let colon = authority + word[authority..at].find(':')?;
        Some(format!("{}:{MASK}{}", &word[..colon], &word[at..]))
    };
    masked().unwrap_or_else(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_and_nothing_else() {
        for (arguments, shown) in [
            (&["postgres", "-D", "/data"][..], "postgres -D /data"),
            (&["mysql", "--password=hunter2", "-u", "me"], "mysql --password=******** -u me"),
            (&["mysql", "--password", "hunter2", "db"], "mysql --password ******** db"),
            (&["tool", "--password", "--verbose"], "tool --password --verbose"),
            (
                &["env", "DB_PASSWORD=x", "API_KEY=y", "PATH=/bin"],
                "env DB_PASSWORD=******** API_KEY=******** PATH=/bin",
            ),
            (&["psql", "postgresql://me:hunter2@host/db"], "psql postgresql://me:********@host/db"),
            (&["curl", "https://host/a:b@c"], "curl https://host/a:b@c"),
            (&["curl", "-H", "Authorization: Bearer abc"], "curl -H Authorization: Bearer ********"),
            (&["sh", "-c", "run --token abc; ls"], "sh -c run --token ******** ls"),
            (&["nginx: worker process"], "nginx: worker process"),
            (&["a\nb\u{1b}[31m"], "a b [31m"),
        ] {
            assert_eq!(masked(arguments.join("\0").as_bytes()).unwrap(), shown);
        }
        assert_eq!(masked(b""), None);
        assert_eq!(masked(b"\0\0"), None);
        assert_eq!(masked(b"caf\xe9\0").unwrap(), "caf\u{fffd}");
    }

    #[test]
    fn a_long_one_is_cut_at_a_character() {
        let long = masked("é".repeat(10_240).as_bytes()).unwrap();
        assert_eq!(long.chars().count(), MAX_LENGTH + 1);
        assert!(long.ends_with('…'));
    }
}
