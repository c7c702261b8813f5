//! What is wrong with a text that is not JSON, in the words of Kubernetes' reader, which people know from its clients.
//!
//! Only names the first error; values are made by [`super::parse_json_strict`]. Does not recurse.

/// The first syntax error of a text; `None` for valid JSON.
pub fn syntax_error(text: &[u8]) -> Option<String> {
    let mut scan = Scan { text, at: 0, open: Vec::new() };
    match scan.document() {
        Ok(()) => None,
        Err(Fault::End) => Some("unexpected end of JSON input".to_owned()),
        Err(Fault::Byte(byte, context)) => Some(format!("invalid character {} {context}", quoted(byte))),
    }
}

enum Fault {
    End,
    Byte(u8, String),
}

/// What an open bracket waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    Object,
    Array,
}

struct Scan<'a> {
    text: &'a [u8],
    at: usize,
    open: Vec<Open>,
}

fn quoted(byte: u8) -> String {
    match byte {
        b'\'' => r"'\''".to_owned(),
        b'\\' => r"'\\'".to_owned(),
        b'\n' => r"'\n'".to_owned(),
        b'\r' => r"'\r'".to_owned(),
        b'\t' => r"'\t'".to_owned(),
        0..=0x1f | 0x7f => format!("'\\x{byte:02x}'"),
        0x80..=0x9f => format!("'\\u{byte:04x}'"),
        other => format!("'{}'", char::from(other)),
    }
}

impl Scan<'_> {
    fn peek(&self) -> Result<u8, Fault> {
        self.text.get(self.at).copied().ok_or(Fault::End)
    }

    fn next(&mut self) -> Result<u8, Fault> {
        let byte = self.peek()?;
        self.at += 1;
        Ok(byte)
    }

    fn space(&mut self) {
        while matches!(self.text.get(self.at), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn wrong<T>(byte: u8, context: &str) -> Result<T, Fault> {
        Err(Fault::Byte(byte, context.to_owned()))
    }

    fn document(&mut self) -> Result<(), Fault> {
        loop {
            self.space();
            if !self.value()? {
                continue;
            }
            if self.after_value()? {
                break;
            }
        }
        self.space();
        match self.text.get(self.at) {
            None => Ok(()),
            Some(byte) => Self::wrong(*byte, "after top-level value"),
        }
    }

    /// Reads a value, or the start of one with members; says whether it is complete.
    fn value(&mut self) -> Result<bool, Fault> {
        match self.next()? {
            b'{' => {
                self.space();
                if self.peek()? == b'}' {
                    self.at += 1;
                    return Ok(true);
                }
                self.open.push(Open::Object);
                self.key()?;
                Ok(false)
            }
            b'[' => {
                self.space();
                if self.peek()? == b']' {
                    self.at += 1;
                    return Ok(true);
                }
                self.open.push(Open::Array);
                Ok(false)
            }
            b'"' => self.string().map(|()| true),
            b't' => self.literal("true").map(|()| true),
            b'f' => self.literal("false").map(|()| true),
            b'n' => self.literal("null").map(|()| true),
            b'-' => match self.next()? {
                first @ b'0'..=b'9' => self.number(first).map(|()| true),
                other => Self::wrong(other, "in numeric literal"),
            },
            first @ b'0'..=b'9' => self.number(first).map(|()| true),
            other => Self::wrong(other, "looking for beginning of value"),
        }
    }

    /// Closes what ends here; says whether the document is complete.
    fn after_value(&mut self) -> Result<bool, Fault> {
        while let Some(open) = self.open.last().copied() {
            self.space();
            match (open, self.next()?) {
                (Open::Object, b'}') | (Open::Array, b']') => {
                    self.open.pop();
                }
                (Open::Array, b',') => return Ok(false),
                (Open::Object, b',') => {
                    self.space();
                    self.key()?;
                    return Ok(false);
                }
                (Open::Object, other) => return Self::wrong(other, "after object key:value pair"),
                (Open::Array, other) => return Self::wrong(other, "after array element"),
            }
        }
        Ok(true)
    }

    fn key(&mut self) -> Result<(), Fault> {
        match self.next()? {
            b'"' => self.string()?,
            other => return Self::wrong(other, "looking for beginning of object key string"),
        }
        self.space();
        match self.next()? {
            b':' => Ok(()),
            other => Self::wrong(other, "after object key"),
        }
    }

    fn string(&mut self) -> Result<(), Fault> {
        loop {
            match self.next()? {
                b'"' => return Ok(()),
                b'\\' => self.escape()?,
                control @ 0..=0x1f => return Self::wrong(control, "in string literal"),
                _ => {}
            }
        }
    }

    fn escape(&mut self) -> Result<(), Fault> {
        match self.next()? {
            b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"' => Ok(()),
            b'u' => {
                for _ in 0..4 {
                    let digit = self.next()?;
                    if !digit.is_ascii_hexdigit() {
                        return Self::wrong(digit, "in \\u hexadecimal character escape");
                    }
                }
                Ok(())
            }
            other => Self::wrong(other, "in string escape code"),
        }
    }

    fn literal(&mut self, word: &str) -> Result<(), Fault> {
        for expected in word.bytes().skip(1) {
            let found = self.next()?;
            if found != expected {
                let context = format!("in literal {word} (expecting {})", quoted(expected));
                return Err(Fault::Byte(found, context));
            }
        }
        Ok(())
    }

    /// The rest of a number; whatever follows it is judged by who reads on.
    fn number(&mut self, first: u8) -> Result<(), Fault> {
        if first != b'0' {
            self.digits();
        }
        if self.text.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digit("after decimal point in numeric literal")?;
        }
        if matches!(self.text.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek()?, b'+' | b'-') {
                self.at += 1;
            }
            self.digit("in exponent of numeric literal")?;
        }
        Ok(())
    }

    fn digit(&mut self, context: &str) -> Result<(), Fault> {
        let byte = self.next()?;
        if !byte.is_ascii_digit() {
            return Self::wrong(byte, context);
        }
        self.digits();
        Ok(())
    }

    fn digits(&mut self) {
        while self.text.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_error_is_named() {
        let table = [
            ("", "unexpected end of JSON input"),
            ("{", "unexpected end of JSON input"),
            ("[1,", "unexpected end of JSON input"),
            ("nu", "unexpected end of JSON input"),
            ("{not json", "invalid character 'n' looking for beginning of object key string"),
            ("{'a':1}", r"invalid character '\'' looking for beginning of object key string"),
            ("{\"a\" 1}", "invalid character '1' after object key"),
            ("{\"a\":1 \"b\":2}", "invalid character '\"' after object key:value pair"),
            ("{\"a\":1,}", "invalid character '}' looking for beginning of object key string"),
            ("[1,]", "invalid character ']' looking for beginning of value"),
            ("[1 2]", "invalid character '2' after array element"),
            ("{} x", "invalid character 'x' after top-level value"),
            ("no1", "invalid character 'o' in literal null (expecting 'u')"),
            ("01", "invalid character '1' after top-level value"),
            ("-x", "invalid character 'x' in numeric literal"),
            ("1.x", "invalid character 'x' after decimal point in numeric literal"),
            ("1ex", "invalid character 'x' in exponent of numeric literal"),
            ("\"\\x\"", "invalid character 'x' in string escape code"),
            ("\"\\u00g0\"", "invalid character 'g' in \\u hexadecimal character escape"),
            ("\"a\nb\"", "invalid character '\\n' in string literal"),
        ];
        for (text, want) in table {
            assert_eq!(syntax_error(text.as_bytes()).as_deref(), Some(want), "{text}");
        }
        for text in ["{}", " [ ] ", "{\"a\":[1,-2.5e+3,true,null,\"\\u0041\"],\"b\":{}}", "0"] {
            assert_eq!(syntax_error(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        /// It calls wrong what a JSON reader calls wrong, numbers out of range apart.
        #[test]
        fn agrees_with_the_reader(text in "[\\[\\]{}:, \"a0-9.etrufalsn\\\\-]{0,12}") {
            let read = serde_json::from_str::<serde::de::IgnoredAny>(&text);
            prop_assert_eq!(syntax_error(text.as_bytes()).is_none(), read.is_ok(), "{}", text);
        }
    }
}
