//! JSON to the letter of its grammar (ECMA-404), as `JSON.parse` of Node.js takes it.
//!
//! In: text. Out: the entries of the object that it holds. Knows nothing of records. Own code,
//! since libraries for data refuse what `JSON.parse` takes (half of a surrogate pair, numbers
//! beyond a double's) and what is refused here may cost a living owner its lock. Keeps no more
//! than the top level, and neither recursion nor depth costs memory.

use std::str::Chars;

/// How deep values may be nested. Node.js knows no limit, and OpenClaw's records have one level.
const MAX_DEPTH: usize = 128;

/// Why a text was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// Every JSON text that begins so is longer.
    EndsEarly,
    /// No JSON text begins so.
    NotJson,
    /// It is nested deeper than [`MAX_DEPTH`]; whether it is JSON was not looked at.
    TooDeep,
}

/// What a JSON text holds.
#[derive(Debug, PartialEq)]
pub(super) enum Text {
    /// An object: its keys and values in their order.
    Object(Vec<(Key, Value)>),
    /// Anything else.
    Other,
}

/// A key as JavaScript compares it, in UTF-16: half of a surrogate pair is a character there.
pub(super) type Key = Vec<u16>;

/// A value as far as a record needs it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Number(f64),
    Text(Vec<u16>),
    /// A list, an object, `true`, `false` or `null`.
    Other,
}

/// Reads a JSON text.
pub(super) fn read(text: &str) -> Result<Text, Refused> {
    let mut rest = Rest(text.chars());
    let text = match rest.value()? {
        Begun::Container(Container::Object) => Text::Object(rest.entries()?),
        Begun::Container(list) => {
            rest.skip(list, 0)?;
            Text::Other
        }
        Begun::Whole(_) => Text::Other,
    };
    rest.skip_space();
    if rest.peek().is_some() { Err(Refused::NotJson) } else { Ok(text) }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Container {
    Object,
    List,
}

impl Container {
    fn end(self) -> char {
        match self {
            Self::Object => '}',
            Self::List => ']',
        }
    }
}

/// A value of which the first character, or all, was read.
enum Begun {
    Container(Container),
    Whole(Value),
}

/// What is still to be read.
struct Rest<'t>(Chars<'t>);

impl Rest<'_> {
    fn peek(&self) -> Option<char> {
        self.0.clone().next()
    }

    fn take(&mut self) -> Result<char, Refused> {
        self.0.next().ok_or(Refused::EndsEarly)
    }

    fn expect(&mut self, wanted: char) -> Result<(), Refused> {
        if self.take()? == wanted { Ok(()) } else { Err(Refused::NotJson) }
    }

    /// Takes this character if it is the next.
    fn accept(&mut self, wanted: char) -> bool {
        let is_next = self.peek() == Some(wanted);
        if is_next {
            self.0.next();
        }
        is_next
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(' ' | '\t' | '\n' | '\r')) {
            self.0.next();
        }
    }

    fn value(&mut self) -> Result<Begun, Refused> {
        self.skip_space();
        let before = self.0.as_str();
        let value = match self.take()? {
            '{' => return Ok(Begun::Container(Container::Object)),
            '[' => return Ok(Begun::Container(Container::List)),
            '"' => Value::Text(self.string()?),
            't' => self.word("rue")?,
            'f' => self.word("alse")?,
            'n' => self.word("ull")?,
            first @ ('-' | '0'..='9') => {
                self.number(first)?;
                let read = before.len().saturating_sub(self.0.as_str().len());
                // Every number of JSON is one of Rust's; NaN is nobody's pid.
                Value::Number(before.get(..read).and_then(|number| number.parse().ok()).unwrap_or(f64::NAN))
            }
            _ => return Err(Refused::NotJson),
        };
        Ok(Begun::Whole(value))
    }

    fn word(&mut self, rest: &str) -> Result<Value, Refused> {
        rest.chars().try_for_each(|c| self.expect(c)).map(|()| Value::Other)
    }

    fn number(&mut self, first: char) -> Result<(), Refused> {
        let first = if first == '-' { self.take()? } else { first };
        match first {
            '0' => {}
            '1'..='9' => self.skip_digits(),
            _ => return Err(Refused::NotJson),
        }
        if self.accept('.') {
            self.digits()?;
        }
        if self.accept('e') || self.accept('E') {
            let _sign = self.accept('+') || self.accept('-');
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Refused> {
        if !self.take()?.is_ascii_digit() {
            return Err(Refused::NotJson);
        }
        self.skip_digits();
        Ok(())
    }

    fn skip_digits(&mut self) {
        while self.peek().is_some_and(|c| c.is_ascii_digit()) {
            self.0.next();
        }
    }

    /// Reads a string behind its opening quote.
    fn string(&mut self) -> Result<Vec<u16>, Refused> {
        let mut units = Vec::new();
        loop {
            match self.take()? {
                '"' => return Ok(units),
                '\\' => units.push(self.escaped()?),
                '\0'..='\x1f' => return Err(Refused::NotJson),
                c => units.extend_from_slice(c.encode_utf16(&mut [0; 2])),
            }
        }
    }

    fn escaped(&mut self) -> Result<u16, Refused> {
        Ok(match self.take()? {
            'b' => 8,
            't' => 9,
            'n' => 10,
            'f' => 12,
            'r' => 13,
            '"' => 34,
            '/' => 47,
            '\\' => 92,
            'u' => {
                let mut unit = 0;
                for _ in 0..4 {
                    let digit = self.take()?.to_digit(16).ok_or(Refused::NotJson)?;
                    // Four digits fit.
                    unit = unit << 4 | u16::try_from(digit).unwrap_or(0);
                }
                unit
            }
            _ => return Err(Refused::NotJson),
        })
    }

    /// Reads the entries of an object behind its opening brace, and its end.
    fn entries(&mut self) -> Result<Vec<(Key, Value)>, Refused> {
        let mut entries = Vec::new();
        let mut ended = self.ends_at_once(Container::Object);
        while !ended {
            let key = self.key()?;
            let value = match self.value()? {
                Begun::Whole(value) => value,
                Begun::Container(container) => {
                    self.skip(container, 1)?;
                    Value::Other
                }
            };
            entries.push((key, value));
            ended = self.ends(Container::Object)?;
        }
        Ok(entries)
    }

    /// Skips the rest of a container that lies in this many others.
    fn skip(&mut self, container: Container, depth: usize) -> Result<(), Refused> {
        let mut open = vec![container];
        let mut is_new = true;
        while let Some(innermost) = open.last().copied() {
            let ended = if is_new { self.ends_at_once(innermost) } else { self.ends(innermost)? };
            is_new = false;
            if ended {
                open.pop();
                continue;
            }
            if innermost == Container::Object {
                self.key()?;
            }
            if let Begun::Container(container) = self.value()? {
                if depth + open.len() >= MAX_DEPTH {
                    return Err(Refused::TooDeep);
                }
                open.push(container);
                is_new = true;
            }
        }
        Ok(())
    }

    /// Whether a container has no entry; takes its end.
    fn ends_at_once(&mut self, container: Container) -> bool {
        self.skip_space();
        self.accept(container.end())
    }

    /// Whether a container has no further entry; takes its end, or the comma.
    fn ends(&mut self, container: Container) -> Result<bool, Refused> {
        self.skip_space();
        match self.take()? {
            ',' => Ok(false),
            c if c == container.end() => Ok(true),
            _ => Err(Refused::NotJson),
        }
    }

    /// Reads a key and the colon behind it.
    fn key(&mut self) -> Result<Key, Refused> {
        self.skip_space();
        self.expect('"')?;
        let key = self.string()?;
        self.skip_space();
        self.expect(':')?;
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(text: &str) -> Vec<u16> {
        text.encode_utf16().collect()
    }

    fn only(text: &str) -> Value {
        match read(&format!("{{\"k\":{text}}}")).unwrap() {
            Text::Object(entries) => entries.into_iter().next().unwrap().1,
            Text::Other => panic!("{text}"),
        }
    }

    #[test]
    fn what_json_parse_takes_is_taken() {
        for number in ["0", "-0", "7.0", "1e1", "1E+1", "1e-400", "9007199254740993", "1e400", "-1e400", "0.1e0"] {
            assert_eq!(only(number), Value::Number(number.parse().unwrap()), "{number}");
        }
        for (text, expected) in [
            (r#""\ud83d\ude00""#, units("\u{1f600}")),
            (r#""\ud83d""#, vec![0xd83d]),
            (r#""\uDE00\ud83d""#, vec![0xde00, 0xd83d]),
            (r#""\"\\\/\b\f\n\r\t\u0000""#, units("\"\\/\u{8}\u{c}\n\r\t\0")),
            ("\"\u{2028}\u{7f}\u{feff}\"", units("\u{2028}\u{7f}\u{feff}")),
        ] {
            assert_eq!(only(text), Value::Text(expected), "{text}");
        }
        for other in ["true", "false", "null", "[]", "{}", "[[],{\"\":[1,\"\"]},{}]", "[ 1 , 2 ]"] {
            assert_eq!(only(other), Value::Other, "{other}");
        }
        for text in ["7", " \"x\" ", "null", "[]", "\t\r\n [1]\t"] {
            assert_eq!(read(text), Ok(Text::Other), "{text}");
        }
    }

    #[test]
    fn what_json_parse_refuses_is_refused() {
        for text in [
            "01",
            "-a",
            "1.e1",
            "1e+-1",
            ".5",
            "+1",
            "1.5.",
            "0x1",
            "NaN",
            "Infinity",
            "nul l",
            "True",
            "'a'",
            "[1,]",
            "[,1]",
            "{\"a\":1,}",
            "{a:1}",
            "{\"a\" 1}",
            "{\"a\":1 \"b\":2}",
            "{\"a\"}",
            "[1}",
            "{]",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"\\u{41}\"",
            "\"\t\"",
            "\"\u{1f}\"",
            "\u{feff}{}",
            "\u{a0}{}",
            "\u{b}{}",
            "{}\0",
            "{}{}",
            "1 2",
            "/**/{}",
        ] {
            assert_eq!(read(text), Err(Refused::NotJson), "{text}");
        }
    }

    #[test]
    fn a_beginning_is_known_as_one() {
        let whole = "{\"a\": [true, {\"b\\u0063\": -1.5e+3}, \"\u{e9}\"], \"d\": null}";
        for (end, _) in whole.char_indices() {
            assert_eq!(read(&whole[..end]), Err(Refused::EndsEarly), "{end}");
        }
        assert!(read(whole).is_ok());
    }

    #[test]
    fn keys_are_those_that_javascript_compares() {
        let read = |text: &str| match read(text).unwrap() {
            Text::Object(entries) => entries.into_iter().map(|(key, _)| key).collect::<Vec<_>>(),
            Text::Other => panic!("{text}"),
        };
        assert_eq!(read(r#"{"p\u0069d":7}"#), [units("pid")]);
        assert_eq!(read(r#"{"\ud83d":1,"\ud83e":2}"#), [vec![0xd83d], vec![0xd83e]]);
        assert_eq!(read(r#"{"__proto__":1,"":2}"#), [units("__proto__"), vec![]]);
    }

    #[test]
    fn depth_is_counted_alike_in_lists_and_objects() {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let nested = |depth: usize| format!("{}1{}", open.repeat(depth), close.repeat(depth));
            assert!(read(&nested(MAX_DEPTH)).is_ok(), "{open}");
            for depth in [MAX_DEPTH + 1, 200_000] {
                assert_eq!(read(&nested(depth)), Err(Refused::TooDeep), "{open}");
                assert_eq!(read(&open.repeat(depth)), Err(Refused::TooDeep), "{open}");
            }
        }
        let wide = format!("[{}1]", "[],".repeat(100_000));
        assert_eq!(read(&wide), Ok(Text::Other));
    }
}
