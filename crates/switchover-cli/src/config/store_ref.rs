//! A store as the user named it, and keeping its password out of sight.
//!
//! Invariants: [`StoreRef`] prints without the password in every form; [`scrub`] errs on the side of
//! hiding too much. Absent on purpose: parsing a URL's parts, which is its connector's business.

use super::Origin;
use secrecy::{ExposeSecret, SecretString};
use std::fmt;

/// What stands in the place of a password.
const HIDDEN: &str = "***";

/// A store as the user named it.
#[derive(Clone)]
pub(crate) struct StoreRef {
    url: SecretString,
    /// Where the name stands.
    pub(crate) origin: Origin,
}

impl StoreRef {
    /// A store of that URL or connection string.
    pub(crate) fn new(url: &str, origin: Origin) -> StoreRef {
        StoreRef { url: SecretString::from(url.trim()), origin }
    }

    /// The URL with its password. For the connector alone.
    pub(crate) fn expose(&self) -> &str {
        self.url.expose_secret()
    }

    /// The URL as messages show it.
    pub(crate) fn label(&self) -> String {
        hide_all(self.expose())
    }

    /// Whether a password stands in the URL.
    pub(crate) fn has_password(&self) -> bool {
        self.label() != self.expose()
    }

    /// The scheme in lower case, without SQLAlchemy's `+driver`; `None` for what is no URL.
    pub(crate) fn scheme(&self) -> Option<String> {
        let (scheme, _) = self.expose().split_once(':')?;
        let scheme = scheme.split_once('+').map_or(scheme, |(scheme, _)| scheme);
        let fits = |c: char| c.is_ascii_alphanumeric() || "-.".contains(c);
        let named = scheme.len() > 1 && scheme.starts_with(|c: char| c.is_ascii_alphabetic());
        (named && scheme.chars().all(fits)).then(|| scheme.to_ascii_lowercase())
    }

    /// Whether it looks like `host=… dbname=…`.
    pub(crate) fn is_key_value(&self) -> bool {
        const KEYS: &[&str] =
            &["host", "hostaddr", "port", "dbname", "user", "password", "service", "sslmode"];
        let (first, rest) = self.expose().split_once('=').unwrap_or_default();
        !rest.is_empty() && KEYS.contains(&first.trim())
    }
}

impl fmt::Debug for StoreRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreRef({} from {})", self.label(), self.origin)
    }
}

/// Hides the password of one URL or connection string. Everything up to the last `@` counts as the
/// password: one with an unescaped `/`, `?` or `@` is still hidden whole.
fn hide_all(url: &str) -> String {
    hide_assignments(&hide_userinfo(url), false)
}

/// Hides every password in free text, such as a message that quotes an argument.
pub(crate) fn scrub(text: &str) -> String {
    let parted = text.split_inclusive(|c: char| c.is_whitespace() || matches!(c, '\'' | '"' | '`'));
    hide_assignments(&parted.map(hide_userinfo).collect::<String>(), true)
}

/// The same in a message that may quote some of these arguments, whole or behind their `=`: of them it is known where they end.
pub(crate) fn scrub_quoted(text: &str, arguments: impl Iterator<Item = String>) -> String {
    let mut text = text.to_owned();
    for argument in arguments {
        let value = argument.split_once('=').map_or("", |(_, value)| value);
        for told in [argument.as_str(), value].into_iter().filter(|told| !told.is_empty()) {
            let hidden = hide_all(told);
            if hidden != told {
                text = text.replace(told, &hidden);
            }
        }
    }
    scrub(&text)
}

fn hide_userinfo(url: &str) -> String {
    let Some(start) = url.find("://").map(|at| at + 3) else { return url.to_owned() };
    let Some(end) = url.rfind('@').filter(|at| *at > start) else { return url.to_owned() };
    match url[start..end].split_once(':') {
        Some((user, _)) => format!("{}{user}:{HIDDEN}{}", &url[..start], &url[end..]),
        None => url.to_owned(),
    }
}

/// Hides the values of `password=…` in connection strings and queries. In text that may be `quoted`
/// (JSON, a message) a value also ends at a `"`, which is the text's own.
fn hide_assignments(text: &str, quoted: bool) -> String {
    const NAMES: &[&str] = &["password", "passwd", "pwd"];
    let lower = text.to_ascii_lowercase();
    let (mut out, mut at) = (String::with_capacity(text.len()), 0);
    while let Some(found) =
        NAMES.iter().filter_map(|name| lower[at..].find(name).map(|i| at + i + name.len())).min()
    {
        let rest = &text[found..];
        let blank = rest.len() - rest.trim_start_matches(' ').len();
        let Some(value) = rest[blank..].strip_prefix('=') else {
            out.push_str(&text[at..found]);
            at = found;
            continue;
        };
        let start = found + blank + 1 + (value.len() - value.trim_start_matches(' ').len());
        // Only in a URL's query does `&` part values; in a connection string it is the password's.
        let head = text[..found].trim_end_matches(|c: char| c.is_ascii_alphanumeric() || c == '_');
        let end = start + value_bytes(&text[start..], head.ends_with(['?', '&']), quoted);
        out.push_str(&text[at..start]);
        if end > start {
            out.push_str(HIDDEN);
        }
        at = end;
    }
    out.push_str(&text[at..]);
    out
}

/// Bytes of a password's value, as libpq reads it.
fn value_bytes(value: &str, in_query: bool, quoted: bool) -> usize {
    if !value.starts_with('\'') {
        let ends = |c: char| c.is_whitespace() || (in_query && c == '&') || (quoted && c == '"');
        return value.find(ends).unwrap_or(value.len());
    }
    let mut escaped = false;
    for (at, c) in value.char_indices().skip(1) {
        match c {
            '\'' if !escaped => return at + 1,
            _ => escaped = c == '\\' && !escaped,
        }
    }
    value.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_hidden() {
        for (url, label) in [
            ("postgres://u:s3cret@h/db", "postgres://u:***@h/db"),
            ("postgresql+asyncpg://u:s3@c/r?e@t@h:1/db", "postgresql+asyncpg://u:***@h:1/db"),
            (
                "postgres://u@h/db?password=s3cret&sslmode=require",
                "postgres://u@h/db?password=***&sslmode=require",
            ),
            ("host=h password=s3cret dbname=d", "host=h password=*** dbname=d"),
            ("host=h password=a&\"s3cret dbname=d", "host=h password=*** dbname=d"),
            (r"host=h Password = 's3 \' cret' dbname=d", "host=h Password = *** dbname=d"),
            ("host=h sslpassword=s3cret", "host=h sslpassword=***"),
            ("sqlite:app.db", "sqlite:app.db"),
            ("postgres://u@h/db", "postgres://u@h/db"),
            ("sqlite:password.db", "sqlite:password.db"),
        ] {
            let store = StoreRef::new(url, Origin::Flag("--to"));
            assert_eq!(store.label(), label);
            assert_eq!(store.has_password(), url != label);
            assert!(!format!("{store:?}").contains("s3"), "{store:?}");
        }
        let text = "unexpected argument 'postgres://u:s3cret@h/db' found, password=s3cret";
        assert_eq!(scrub(text), "unexpected argument 'postgres://u:***@h/db' found, password=***");
        for password in ["s3'cret", "s3\"cret", "s3 cret", "s3`c@r/et"] {
            let url = format!("postgres://u:{password}@h/db");
            for (argument, shown) in [(url.clone(), &url), (format!("--too={url}"), &url)] {
                let said = scrub_quoted(&format!("unexpected '{shown}' found"), [argument].into_iter());
                assert_eq!(said, "unexpected 'postgres://u:***@h/db' found");
            }
        }
        let json = r#"{"a":"postgres://u:s3cret@h/db","b":"password=s3cret","c":1}"#;
        assert_eq!(scrub(json), r#"{"a":"postgres://u:***@h/db","b":"password=***","c":1}"#);
    }

    #[test]
    fn schemes() {
        for (url, scheme, pairs) in [
            ("sqlite+aiosqlite:///app.db", Some("sqlite"), false),
            ("POSTGRES://h/db", Some("postgres"), false),
            ("host=/run/x:y dbname=d", None, true),
            ("C:\\app.db", None, false),
            ("app.db", None, false),
            ("./a:b=c", None, false),
        ] {
            let store = StoreRef::new(url, Origin::Flag("--to"));
            assert_eq!((store.scheme().as_deref(), store.is_key_value()), (scheme, pairs), "{url}");
        }
    }
}
