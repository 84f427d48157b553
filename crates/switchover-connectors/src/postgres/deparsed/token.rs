//! The words of an expression as PostgreSQL's own deparser writes it.

/// A word.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// A name or keyword; a quoted one is never a keyword.
    Name { text: String, quoted: bool },
    /// A string literal's content.
    Text(String),
    /// A number as written.
    Number(String),
    /// An operator or a bracket.
    Sign(String),
}

/// The words; `None` where something is no word.
pub(super) fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let escaped = c == 'E' && rest[1..].starts_with('\'');
        if c.is_whitespace() {
            rest = &rest[c.len_utf8()..];
        } else if c == '\'' || escaped {
            let (content, used) = quoted(&rest[usize::from(escaped)..], '\'')?;
            let content = if escaped { unescaped(&content)? } else { content };
            out.push(Token::Text(content));
            rest = &rest[used + usize::from(escaped)..];
        } else if c == '"' {
            let (text, used) = quoted(rest, '"')?;
            out.push(Token::Name { text, quoted: true });
            rest = &rest[used..];
        } else if c.is_ascii_digit() {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '.').unwrap_or(rest.len());
            out.push(Token::Number(rest[..end].to_owned()));
            rest = &rest[end..];
        } else if c.is_alphabetic() || c == '_' {
            let word = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
            let end = rest.find(|c| !word(c)).unwrap_or(rest.len());
            out.push(Token::Name { text: rest[..end].to_owned(), quoted: false });
            rest = &rest[end..];
        } else if "()[],.".contains(c) {
            out.push(Token::Sign(c.to_string()));
            rest = &rest[1..];
        } else {
            let end = rest.find(|c| !"<>=!~+-*/%^&|#@?:".contains(c)).unwrap_or(rest.len());
            if end == 0 {
                return None;
            }
            // `::` binds to nothing else; a minus behind an operator is the number's.
            let cut = match &rest[..end] {
                sign if sign.starts_with("::") => 2,
                sign if sign.len() > 1 && sign.ends_with('-') => end - 1,
                _ => end,
            };
            out.push(Token::Sign(rest[..cut].to_owned()));
            rest = &rest[cut..];
        }
    }
    Some(out)
}

/// What stands between two marks, with doubled ones single, and the bytes that it took.
fn quoted(text: &str, mark: char) -> Option<(String, usize)> {
    let mut content = String::new();
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c != mark {
            content.push(c);
        } else if chars.peek().is_some_and(|(_, next)| *next == mark) {
            chars.next();
            content.push(mark);
        } else {
            return Some((content, at + 1));
        }
    }
    None
}

/// The deparser writes `E'…'` only for backslashes, doubled.
fn unescaped(content: &str) -> Option<String> {
    let mut out = String::new();
    let mut chars = content.chars();
    while let Some(c) = chars.next() {
        if c == '\\' && chars.next() != Some('\\') {
            return None;
        }
        out.push(c);
    }
    Some(out)
}
