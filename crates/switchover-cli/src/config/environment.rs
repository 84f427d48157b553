//! The environment, and the `.env` file beside it.
//!
//! The grammar of `.env`: a line is empty, a `#` comment, or `NAME=value`, with `export ` before it
//! if you like. An unquoted value ends at ` #` or the line's end and is trimmed; `'…'` is literal;
//! in `"…"` the escapes `\n \r \t \" \\ \$` hold. The last line of a name wins. `${NAME}` is not
//! expanded: a value that asks for it is an error, once it is needed. Lines of other programs that
//! do not fit are passed over for the same reason: the file is the application's, not ours.
//! Invariants: the process's own environment wins over the file; no message shows a value.

use super::{Given, KEYS, Layer, Origin, Raw, Shape, invalid, near};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use switchover::routing::hooks;
use switchover_core::{Error, Result};

/// Variables with our prefix that are no configuration keys: two of users, and three of those who develop this program.
const OTHERS: &[&str] = &[
    "SWITCHOVER_CONFIG",
    "SWITCHOVER_LOG",
    "SWITCHOVER_PG_BIN",
    "SWITCHOVER_WEAVIATE_BIN",
    "SWITCHOVER_WEAVIATE_PYTHON",
];

/// A value of `.env`, or what is wrong with it, and its line.
struct Entry {
    line: usize,
    value: Result<String, &'static str>,
}

/// Where names of variables are looked up. Not `Debug`: it holds secrets.
pub(crate) struct Environment {
    variables: BTreeMap<String, String>,
    file: BTreeMap<String, Entry>,
    folder: PathBuf,
}

impl Environment {
    /// The process's variables, and `.env` in the working directory.
    pub(crate) fn of_process() -> Result<Environment> {
        let mut variables = BTreeMap::new();
        for (name, value) in std::env::vars_os() {
            let Ok(name) = name.into_string() else { continue };
            match value.into_string() {
                Ok(value) => drop(variables.insert(name, value)),
                Err(_) if name.starts_with("SWITCHOVER_") => {
                    return Err(invalid(Origin::Variable(name)).detail("its value is not valid UTF-8"));
                }
                Err(_) => {}
            }
        }
        Environment::new(variables, Path::new(""))
    }

    /// These variables, and `.env` in that folder. What a hook is told is not what it is to do.
    pub(crate) fn new(mut variables: BTreeMap<String, String>, folder: &Path) -> Result<Environment> {
        if variables.contains_key(hooks::MARK) {
            variables.retain(|name, _| !hooks::VARIABLES.contains(&name.as_str()));
        }
        let path = folder.join(".env");
        let file = match std::fs::read_to_string(&path) {
            Ok(text) => parse(&text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => {
                let hint = "make it readable UTF-8, or run in another folder";
                return Err(invalid(path.display())
                    .detail("the file cannot be read")
                    .hint(hint)
                    .because(error));
            }
        };
        Ok(Environment { variables, file, folder: folder.to_owned() })
    }

    /// The same, with one variable set.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Environment {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The folder that relative names start from.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The value of a variable. Empty counts as absent, as in most tools.
    pub(crate) fn get(&self, name: &str) -> Result<Option<String>> {
        if let Some(value) = self.variables.get(name) {
            return Ok(Some(value.clone()).filter(|value| !value.is_empty()));
        }
        match self.file.get(name) {
            None => Ok(None),
            Some(Entry { value: Ok(value), .. }) => Ok(Some(value.clone()).filter(|value| !value.is_empty())),
            Some(Entry { line, value: Err(why) }) => {
                Err(invalid(Origin::File(".env".into(), *line)).detail(format!("the value of {name} {why}")))
            }
        }
    }

    /// The names and values of all variables; the process's hide those of `.env`.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        let file = self.file.iter().filter(|(name, _)| !self.variables.contains_key(*name));
        let file =
            file.filter_map(|(name, entry)| Some((name.as_str(), entry.value.as_ref().ok()?.as_str())));
        self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).chain(file)
    }

    /// The value of a variable that must be there.
    pub(crate) fn require(&self, name: &str, at: &Origin) -> Result<String> {
        if let Some(value) = self.get(name)? {
            return Ok(value);
        }
        let names = self.variables.keys().chain(self.file.keys()).map(String::as_str);
        let hint = match near::nearest(name, names.filter(|known| *known != name)) {
            Some(near) => format!("did you mean '{near}'?"),
            None => format!("set {name}, or write it into .env"),
        };
        let detail = format!("it names the variable {name}, which is neither in the environment nor in .env");
        Err(invalid(at).detail(detail).hint(hint))
    }

    /// What the variables with our prefix say.
    pub(crate) fn layer(&self) -> Result<Layer> {
        let mut layer = Layer::default();
        let from_file = self.file.iter().map(|(name, entry)| (name, Origin::File(".env".into(), entry.line)));
        let from_process = self.variables.keys().map(|name| (name, Origin::Variable(name.clone())));
        for (name, origin) in from_file.chain(from_process) {
            if !name.starts_with("SWITCHOVER_") || name.starts_with("SWITCHOVER_TEST_") {
                continue;
            }
            if OTHERS.contains(&name.as_str()) {
                continue;
            }
            let Some(spelling) = KEYS.iter().find(|spelling| spelling.variable == name) else {
                return Err(unknown(name, &origin));
            };
            let Some(value) = self.get(name)? else { continue };
            let raw = match spelling.shape {
                Shape::List => Raw::List(split_list(&value)),
                Shape::Text
                | Shape::Boolean
                | Shape::Integer
                | Shape::Count
                | Shape::Seconds
                | Shape::Size => Raw::Text(value),
            };
            layer.given.insert(spelling.key, Given { raw, origin });
        }
        Ok(layer)
    }
}

fn unknown(name: &str, origin: &Origin) -> Error {
    let known: Vec<&str> =
        KEYS.iter().map(|spelling| spelling.variable).chain(OTHERS.iter().copied()).collect();
    // All known names begin alike, which would make any two of them near.
    let tails = known.iter().map(|known| known.trim_start_matches("SWITCHOVER_"));
    let hint = match near::nearest(name.trim_start_matches("SWITCHOVER_"), tails) {
        Some(tail) => format!("did you mean 'SWITCHOVER_{tail}'?"),
        None => format!("known are {}", known.join(", ")),
    };
    invalid(origin).detail(format!("no setting is called {name}")).hint(hint)
}

/// A list in one variable: parted by commas, except within the braces of a glob.
fn split_list(value: &str) -> Vec<String> {
    let mut depth = 0_usize;
    let parts = value.split(|c| {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    });
    parts.map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

fn parse(text: &str) -> BTreeMap<String, Entry> {
    let mut entries = BTreeMap::new();
    for (at, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = line.trim();
        let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
        let Some((name, value)) = line.split_once('=') else { continue };
        let name = name.trim_end();
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
        if name.is_empty() || !name.chars().all(fits) {
            continue;
        }
        entries.insert(name.to_owned(), Entry { line: at + 1, value: parse_value(value.trim()) });
    }
    entries
}

fn parse_value(text: &str) -> Result<String, &'static str> {
    const UNENDED: &str = "has no closing quote on its line";
    if let Some(rest) = text.strip_prefix('\'') {
        return rest.find('\'').map(|end| rest[..end].to_owned()).ok_or(UNENDED);
    }
    if let Some(rest) = text.strip_prefix('"') {
        let (mut value, mut chars) = (String::new(), rest.chars().peekable());
        while let Some(c) = chars.next() {
            match (c, chars.peek()) {
                ('"', _) => return Ok(value),
                ('$', Some('{')) => return Err("refers to ${…}, which is not expanded here"),
                ('\\', Some(escaped @ ('n' | 'r' | 't' | '"' | '\\' | '$'))) => {
                    value.push(match escaped {
                        'n' => '\n',
                        'r' => '\r',
                        't' => '\t',
                        other => *other,
                    });
                    chars.next();
                }
                _ => value.push(c),
            }
        }
        return Err(UNENDED);
    }
    let end = text.find(" #").unwrap_or(if text.starts_with('#') { 0 } else { text.len() });
    let value = text[..end].trim_end();
    if value.contains("${") {
        return Err("refers to ${…}, which is not expanded here");
    }
    Ok(value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dotenv_values() {
        for (text, value) in [
            ("plain", Ok("plain")),
            ("postgres://u:p#w@h/db", Ok("postgres://u:p#w@h/db")),
            ("two words # comment", Ok("two words")),
            ("# all comment", Ok("")),
            ("'li$t\\n # x' # c", Ok("li$t\\n # x")),
            (r#""a\tb \"q\" \$x""#, Ok("a\tb \"q\" $x")),
            ("pa$$word", Ok("pa$$word")),
            ("", Ok("")),
        ] {
            assert_eq!(parse_value(text).as_deref().map_err(|why| *why), value, "{text}");
        }
        for bad in ["'open", "\"open", "a${B}c", "\"a${B}\""] {
            assert!(parse_value(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn dotenv_lines() {
        let entries = parse("\u{feff}# c\n\nexport A=1\r\nB = 2\nnot a line\n--x=y\nA=3\n");
        let read: Vec<_> = entries
            .iter()
            .map(|(name, e)| (name.as_str(), e.line, e.value.as_deref().unwrap_or("?")))
            .collect();
        assert_eq!(read, [("A", 7, "3"), ("B", 4, "2")]);
    }

    #[test]
    fn lists_respect_braces() {
        assert_eq!(split_list("a, b_{x,y} ,,c"), ["a", "b_{x,y}", "c"]);
    }
}
