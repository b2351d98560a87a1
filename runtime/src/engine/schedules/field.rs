//! The fields of a cron expression: sets of small numbers.

/// A set of numbers below 64, and whether its text begins with `*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field {
    bits: u64,
    pub(super) begins_with_star: bool,
}

impl Field {
    pub(super) fn has(self, number: u8) -> bool {
        number < 64 && self.bits >> number & 1 == 1
    }

    /// The smallest number of the set that is this one or larger.
    pub(super) fn from(self, number: u8) -> Option<u8> {
        (number..64).find(|number| self.has(*number))
    }
}

/// What a field may hold.
struct Rule {
    name: &'static str,
    first: u8,
    last: u8,
    /// Words for the numbers from `first` on.
    words: &'static [&'static str],
}

const RULES: [Rule; 5] = [
    Rule { name: "minute", first: 0, last: 59, words: &[] },
    Rule { name: "hour", first: 0, last: 23, words: &[] },
    Rule { name: "day of month", first: 1, last: 31, words: &[] },
    Rule {
        name: "month",
        first: 1,
        last: 12,
        words: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    },
    // Sunday is 0 and 7.
    Rule { name: "day of week", first: 0, last: 7, words: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"] },
];

const NAMED: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

/// Minute, hour, day of month, month, day of week; or what is wrong with which of them.
pub(super) fn parse(expression: &str) -> Result<[Field; 5], String> {
    let expression = expression.trim();
    if expression.starts_with('@') {
        let named = NAMED.iter().find(|(name, _)| expression.eq_ignore_ascii_case(name));
        let (_, meant) =
            named.ok_or_else(|| format!("`{expression}` is no name; there are {}", NAMED.map(|(name, _)| name).join(", ")))?;
        return parse(meant);
    }
    let texts: Vec<&str> = expression.split_ascii_whitespace().collect();
    let Ok(texts) = <[&str; 5]>::try_from(texts.as_slice()) else {
        let count = texts.len();
        return Err(format!("it has {count} fields, and 5 are wanted: minute, hour, day of month, month and day of week"));
    };
    let mut fields = [Field { bits: 0, begins_with_star: false }; 5];
    for ((text, rule), field) in texts.into_iter().zip(&RULES).zip(&mut fields) {
        *field = rule.read(text)?;
    }
    if fields[4].has(7) {
        fields[4].bits |= 1;
    }
    Ok(fields)
}

impl Rule {
    fn read(&self, text: &str) -> Result<Field, String> {
        let mut bits = 0;
        for item in text.split(',') {
            let (range, step) = match item.split_once('/') {
                Some((range, step)) => (range, Some(self.step(step)?)),
                None => (item, None),
            };
            let (from, to) = match (range, range.split_once('-'), step) {
                ("*", ..) => (self.first, self.last),
                (_, Some((from, to)), _) => (self.number(from, item)?, self.number(to, item)?),
                (from, None, Some(_)) => (self.number(from, item)?, self.last),
                (only, None, None) => (self.number(only, item)?, self.number(only, item)?),
            };
            if from > to {
                return Err(format!("the {} `{item}` begins after it ends", self.name));
            }
            for number in (from..=to).step_by(step.unwrap_or(1)) {
                bits |= 1 << number;
            }
        }
        Ok(Field { bits, begins_with_star: text.starts_with('*') })
    }

    /// A number or a word of an item, which is what an error shows.
    fn number(&self, text: &str, item: &str) -> Result<u8, String> {
        let word = self.words.iter().zip(self.first..).find(|(word, _)| text.eq_ignore_ascii_case(word));
        let number = word.map(|(_, number)| number).or_else(|| digits(text));
        number.filter(|number| (self.first..=self.last).contains(number)).ok_or_else(|| self.refused(item))
    }

    fn step(&self, text: &str) -> Result<usize, String> {
        let step = digits(text).filter(|step| (1..=self.last).contains(step));
        step.map(usize::from).ok_or_else(|| format!("the {} steps by `{text}`, and 1 to {} fit", self.name, self.last))
    }

    fn refused(&self, text: &str) -> String {
        let (Self { name, first, last, .. }, words) = (self, self.words);
        let words = match words {
            [] => String::new(),
            [a, .., z] => format!(", or {a} to {z}"),
            [a] => format!(", or {a}"),
        };
        format!("the {name} `{text}` is none: it has {first} to {last}{words}")
    }
}

/// Without the sign that Rust would read.
fn digits(text: &str) -> Option<u8> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}
