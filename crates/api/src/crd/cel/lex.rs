//! Tokens of a rule.
//!
//! Invariant: never looks at a byte twice for a plain token, so that the work is linear in the length of the source.

use std::sync::Arc;

use super::expr::Literal;

/// Words that are no identifiers.
const RESERVED: &[&str] = &[
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];
/// Longest first, so that `<=` is not read as `<`.
const PUNCTUATION: &[&str] = &[
    "==", "!=", "<=", ">=", "&&", "||", "(", ")", "[", "]", "{", "}", ".", ",", "?", ":", "!", "-", "+", "*",
    "/", "%", "<", ">",
];

/// What a token is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Ident(String),
    Literal(Literal),
    /// An integer without its sign; `-9223372036854775808` needs one more than fits.
    Number(u64),
    Mark(&'static str),
    End,
}

/// A token and the bytes where it stands.
#[derive(Clone, Debug)]
pub(super) struct Spanned {
    pub(super) token: Token,
    pub(super) at: usize,
    pub(super) end: usize,
}

/// Something that is no token: where and why.
pub(super) struct LexError {
    pub(super) at: usize,
    pub(super) why: String,
}

pub(super) fn tokens(source: &str) -> Result<Vec<Spanned>, LexError> {
    let mut lexer = Lexer { source, at: 0 };
    let mut all = Vec::new();
    loop {
        lexer.skip_blank();
        let at = lexer.at;
        let token = lexer.token()?;
        let last = token == Token::End;
        all.push(Spanned { token, at, end: lexer.at });
        if last {
            return Ok(all);
        }
    }
}

/// Whether a word may not be used as an identifier.
pub(super) fn is_reserved(word: &str) -> bool {
    RESERVED.contains(&word)
}

struct Lexer<'s> {
    source: &'s str,
    at: usize,
}

impl<'s> Lexer<'s> {
    fn rest(&self) -> &'s str {
        &self.source[self.at..]
    }

    fn error<T>(&self, why: impl Into<String>) -> Result<T, LexError> {
        Err(LexError { at: self.at, why: why.into() })
    }

    fn skip_blank(&mut self) {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start_matches([' ', '\t', '\r', '\n', '\x0c']);
            self.at += rest.len() - trimmed.len();
            if !trimmed.starts_with("//") {
                return;
            }
            self.at += trimmed.find('\n').unwrap_or(trimmed.len());
        }
    }

    fn token(&mut self) -> Result<Token, LexError> {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return Ok(Token::End) };
        if let Some(token) = self.quoted()? {
            return Ok(token);
        }
        if first.is_ascii_alphabetic() || first == '_' {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            self.at += end;
            return Ok(match &rest[..end] {
                "true" => Token::Literal(Literal::Bool(true)),
                "false" => Token::Literal(Literal::Bool(false)),
                "null" => Token::Literal(Literal::Null),
                word => Token::Ident(word.to_owned()),
            });
        }
        let fraction = first == '.' && rest[1..].starts_with(|c: char| c.is_ascii_digit());
        if first.is_ascii_digit() || fraction {
            return self.number();
        }
        let Some(mark) = PUNCTUATION.iter().find(|mark| rest.starts_with(**mark)) else {
            return self.error(format!("Syntax error: token recognition error at: '{first}'"));
        };
        self.at += mark.len();
        Ok(Token::Mark(mark))
    }

    fn number(&mut self) -> Result<Token, LexError> {
        let rest = self.rest();
        let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        if let Some(hex) = rest.strip_prefix("0x").or_else(|| rest.strip_prefix("0X")) {
            let length = hex.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(hex.len());
            let value = u64::from_str_radix(&hex[..length], 16);
            return self.integer(value.ok(), 2 + length);
        }
        let mut end = digits(rest);
        let mut float = false;
        if rest[end..].starts_with('.') && rest[end + 1..].starts_with(|c: char| c.is_ascii_digit()) {
            end += 1 + digits(&rest[end + 1..]);
            float = true;
        }
        if rest[end..].starts_with(['e', 'E']) {
            let sign = usize::from(rest[end + 1..].starts_with(['+', '-']));
            let exponent = digits(&rest[end + 1 + sign..]);
            if exponent > 0 {
                end += 1 + sign + exponent;
                float = true;
            }
        }
        if float {
            let Ok(value) = rest[..end].parse() else { return self.error("invalid double literal") };
            self.at += end;
            return Ok(Token::Literal(Literal::Double(value)));
        }
        self.integer(rest[..end].parse().ok(), end)
    }

    fn integer(&mut self, value: Option<u64>, length: usize) -> Result<Token, LexError> {
        let unsigned = self.rest()[length..].starts_with(['u', 'U']);
        match value {
            None if unsigned => self.error("invalid uint literal"),
            None => self.error("invalid int literal"),
            Some(value) if unsigned => {
                self.at += length + 1;
                Ok(Token::Literal(Literal::Uint(value)))
            }
            Some(value) => {
                self.at += length;
                Ok(Token::Number(value))
            }
        }
    }

    /// Strings and bytes: `'a'`, `"a"`, `'''a'''`, with `r` for raw and `b` for bytes before.
    fn quoted(&mut self) -> Result<Option<Token>, LexError> {
        let rest = self.rest();
        let prefix = rest.bytes().take_while(|b| b"rRbB".contains(b)).take(2).count();
        let flags = rest[..prefix].to_ascii_lowercase();
        let body = &rest[prefix..];
        let Some(quote) = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|q| body.starts_with(q)) else {
            return Ok(None);
        };
        if prefix == 2 && flags.as_bytes()[0] == flags.as_bytes()[1] {
            return Ok(None);
        }
        let (raw, bytes) = (flags.contains('r'), flags.contains('b'));
        let start = self.at + prefix + quote.len();
        let mut end = start;
        let mut escaped = false;
        loop {
            let tail = &self.source[end..];
            let Some(c) = tail.chars().next() else {
                return self.error(format!("Syntax error: token recognition error at: '{quote}'"));
            };
            if !escaped && tail.starts_with(quote) {
                break;
            }
            if quote.len() == 1 && (c == '\n' || c == '\r') {
                return self.error(format!("Syntax error: token recognition error at: '{quote}'"));
            }
            escaped = c == '\\' && !escaped && !raw;
            end += c.len_utf8();
        }
        let inner = &self.source[start..end];
        let value = if raw { Ok(inner.as_bytes().to_vec()) } else { unescape(inner, bytes) };
        let value = match value {
            Ok(value) => value,
            Err(why) => return self.error(why),
        };
        self.at = end + quote.len();
        if bytes {
            return Ok(Some(Token::Literal(Literal::Bytes(value.into()))));
        }
        match String::from_utf8(value) {
            Ok(text) => Ok(Some(Token::Literal(Literal::Str(Arc::from(text))))),
            Err(_) => self.error("invalid UTF-8 in string literal"),
        }
    }
}

fn unescape(text: &str, bytes: bool) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        let after = &rest[at + 1..];
        let code = after.chars().next().ok_or("unable to unescape string, found '\\' as last character")?;
        let simple = match code {
            'a' => Some(7),
            'b' => Some(8),
            'f' => Some(12),
            'n' => Some(b'\n'),
            'r' => Some(b'\r'),
            't' => Some(b'\t'),
            'v' => Some(11),
            '\\' | '\'' | '"' | '`' | '?' => u8::try_from(code).ok(),
            _ => None,
        };
        if let Some(byte) = simple {
            out.push(byte);
            rest = &after[1..];
            continue;
        }
        let (radix, skip, length) = match code {
            'x' | 'X' => (16, 1, 2),
            'u' if !bytes => (16, 1, 4),
            'U' if !bytes => (16, 1, 8),
            '0'..='3' => (8, 0, 3),
            _ => return Err("unable to unescape string".to_owned()),
        };
        let digits = after.get(skip..skip + length).ok_or("unable to unescape string")?;
        let value =
            u32::from_str_radix(digits, radix).map_err(|e| format!("unable to unescape string: {e}"))?;
        if bytes {
            out.push(u8::try_from(value).map_err(|e| format!("unable to unescape string: {e}"))?);
        } else {
            let c = char::from_u32(value).ok_or("invalid unicode code point")?;
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
        rest = &after[skip + length..];
    }
    out.extend_from_slice(rest.as_bytes());
    Ok(out)
}
