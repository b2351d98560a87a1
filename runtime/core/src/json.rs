//! Where in a JSON text something is. It cuts and compares bytes, and never builds a value: what is found keeps its spelling.
//!
//! Text that is no JSON is survived: nothing is found in it, or a piece that is no JSON either.

use std::ops::Range;

/// Nesting beyond this is not followed; the host refuses deeper input.
const DEPTH_MAX: usize = 128;

/// The value at an RFC 6901 pointer; the empty pointer is the whole text.
pub(crate) fn find<'a>(text: &'a [u8], pointer: &str) -> Option<&'a [u8]> {
    let mut value = whole(text)?;
    if pointer.is_empty() {
        return Some(value);
    }
    for token in pointer.strip_prefix('/')?.split('/') {
        let token = token.replace("~1", "/").replace("~0", "~");
        value = match value.first()? {
            b'{' => member(value, &token)?,
            b'[' if token == "0" || !token.starts_with(['0', '+']) => *items(value)?.get(token.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    Some(value)
}

/// The items of an array, in order; none if the value is no array.
pub(crate) fn items(value: &[u8]) -> Option<Vec<&[u8]>> {
    let mut found = Vec::new();
    let mut at = enter(value, b'[')?;
    while value.get(at)? != &b']' {
        let item = value_at(value, at)?;
        found.push(&value[item.clone()]);
        at = after_comma(value, item.end, b']')?;
    }
    Some(found)
}

/// A string as it reads, or a number as it is spelled; none for what has no one spelling.
pub(crate) fn scalar(value: &[u8]) -> Option<String> {
    match value.first()? {
        b'"' => unescaped(value),
        b'-' | b'0'..=b'9' => String::from_utf8(value.to_vec()).ok(),
        _ => None,
    }
}

/// The text without the blanks around its one value.
fn whole(text: &[u8]) -> Option<&[u8]> {
    let value = value_at(text, blank(text, 0))?;
    Some(&text[value])
}

/// The last member of this name, as parsers that keep one of several do.
fn member<'a>(object: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut found = None;
    let mut at = enter(object, b'{')?;
    while object.get(at)? != &b'}' {
        let key = value_at(object, at)?;
        let colon = blank(object, key.end);
        if object.get(colon)? != &b':' {
            return None;
        }
        let value = value_at(object, blank(object, colon + 1))?;
        if unescaped(&object[key]).as_deref() == Some(name) {
            found = Some(&object[value.clone()]);
        }
        at = after_comma(object, value.end, b'}')?;
    }
    found
}

fn enter(value: &[u8], open: u8) -> Option<usize> {
    (value.first()? == &open).then(|| blank(value, 1))
}

fn after_comma(text: &[u8], end: usize, close: u8) -> Option<usize> {
    let at = blank(text, end);
    match text.get(at)? {
        b',' => Some(blank(text, at + 1)),
        byte if *byte == close => Some(at),
        _ => None,
    }
}

fn blank(text: &[u8], from: usize) -> usize {
    let blanks = text.get(from..).unwrap_or_default().iter().take_while(|byte| b" \t\r\n".contains(byte));
    from + blanks.count()
}

/// Where the value that begins here ends.
fn value_at(text: &[u8], start: usize) -> Option<Range<usize>> {
    let mut depth = 0;
    let mut at = start;
    loop {
        match text.get(at)? {
            b'"' => at = string_end(text, at)?,
            b'{' | b'[' => {
                depth += 1;
                at += 1;
            }
            b'}' | b']' => {
                depth = usize::checked_sub(depth, 1)?;
                at += 1;
            }
            b',' | b':' | b' ' | b'\t' | b'\r' | b'\n' if depth > 0 => at += 1,
            b',' | b':' => return None,
            _ => at += text[at..].iter().take_while(|byte| !b",:]}[{\" \t\r\n".contains(byte)).count(),
        }
        if depth == 0 && at > start {
            return Some(start..at);
        }
        if depth > DEPTH_MAX || at == start {
            return None;
        }
    }
}

fn string_end(text: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        match text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

fn unescaped(string: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(string.strip_prefix(b"\"")?.strip_suffix(b"\"")?).ok()?;
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        out.push(match rest.next()? {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'u' => code_point(&mut rest)?,
            c => c,
        });
    }
    Some(out)
}

fn code_point(rest: &mut std::str::Chars<'_>) -> Option<char> {
    let high = hex(rest)?;
    if !(0xd800..0xdc00).contains(&high) {
        return char::from_u32(high);
    }
    if rest.next()? != '\\' || rest.next()? != 'u' {
        return None;
    }
    let low = hex(rest)?.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
    char::from_u32(0x10000 + ((high - 0xd800) << 10) + low)
}

fn hex(rest: &mut std::str::Chars<'_>) -> Option<u32> {
    (0..4).try_fold(0, |number, _| Some(number * 16 + rest.next()?.to_digit(16)?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails where it is surprised")]
mod tests {
    use super::*;

    fn at(text: &str, pointer: &str) -> Option<String> {
        find(text.as_bytes(), pointer).map(|value| String::from_utf8(value.to_vec()).unwrap())
    }

    #[test]
    fn a_pointer_finds_what_it_names_in_its_own_spelling() {
        let text = r#" {"a": [1.0, {"b/c": "x\"]"}, []], "~": null, "é": 1e2, "a\u0062": true} "#;
        assert_eq!(at(text, "/a/0").as_deref(), Some("1.0"));
        assert_eq!(at(text, "/a/1/b~1c").as_deref(), Some(r#""x\"]""#));
        assert_eq!(at(text, "/~0").as_deref(), Some("null"));
        assert_eq!(at(text, "/é").as_deref(), Some("1e2"));
        assert_eq!(at(text, "/ab").as_deref(), Some("true"));
        assert_eq!(at(text, "").as_deref(), Some(text.trim()));
        for nothing in ["/b", "/a/3", "/a/00", "/a/+1", "/a/x", "/~0/x", "a"] {
            assert_eq!(at(text, nothing), None, "{nothing}");
        }
    }

    #[test]
    fn items_are_cut_at_their_commas() {
        let cut = |text: &str| items(text.as_bytes()).map(|items| items.len());
        assert_eq!(cut("[]"), Some(0));
        assert_eq!(cut("[ ]"), Some(0));
        assert_eq!(cut(r#"[1, "a,b]", [2,3], {"c":[4]} ]"#), Some(4));
        assert_eq!(cut("{}"), None);
    }

    #[test]
    fn a_key_is_a_string_as_it_reads_or_a_number_as_it_is_spelled() {
        let key = |text: &str| scalar(text.as_bytes());
        assert_eq!(key(r#""a\u00e9\n\ud83d\ude00""#).as_deref(), Some("aé\n😀"));
        assert_eq!(key("-1.50").as_deref(), Some("-1.50"));
        assert_eq!((key("true"), key("[1]"), key("null"), key("")), (None, None, None, None));
    }

    #[test]
    fn text_that_is_no_json_is_survived() {
        let deep = "[".repeat(100_000);
        for text in ["", "[", "[1", "[,", "{\"a\"", "{\"a\":", "{\"a\" 1}", "\"", "\"\\", "]", ":", "[1 2]", "{1}", deep.as_str()]
        {
            for pointer in ["", "/a", "/0", "/0/0"] {
                let _ = at(text, pointer);
            }
            let _ = (items(text.as_bytes()), scalar(text.as_bytes()));
        }
    }
}
