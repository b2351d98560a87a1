//! A page of Markdown, taken apart into commands with what they print and the lines between them, and put together again.

/// A page.
pub(super) struct Page {
    pub(super) pieces: Vec<Piece>,
}

/// A part of a page; a page is its parts, one after the other.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// A line that is neither a command nor what one prints.
    Line(String),
    Command(Command),
    /// What a block shows that has no command.
    Excerpt(String),
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) text: String,
    /// What the page shows below it, without the last line break.
    pub(super) output: String,
    /// It stands in a comment, and what it prints is not shown.
    pub(super) is_hidden: bool,
}

impl Page {
    pub(super) fn parse(text: &str) -> Self {
        let mut pieces = Vec::new();
        let mut in_block = false;
        for line in text.lines() {
            match line {
                "```" if in_block => {
                    in_block = false;
                    pieces.push(Piece::Line(line.to_owned()));
                }
                _ if in_block => in_a_block(&mut pieces, line),
                "```console" => {
                    in_block = true;
                    pieces.push(Piece::Line(line.to_owned()));
                }
                _ => pieces.push(match line.strip_prefix("<!-- $ ").and_then(|rest| rest.strip_suffix(" -->")) {
                    Some(text) => Piece::Command(Command { text: text.to_owned(), output: String::new(), is_hidden: true }),
                    None => Piece::Line(line.to_owned()),
                }),
            }
        }
        Self { pieces }
    }

    /// The page as it is written to its file.
    pub(super) fn text(&self) -> String {
        self.pieces.iter().map(Piece::text).collect()
    }
}

/// One more line of a block.
fn in_a_block(pieces: &mut Vec<Piece>, line: &str) {
    if let Some(text) = line.strip_prefix("$ ") {
        return pieces.push(Piece::Command(Command { text: text.to_owned(), output: String::new(), is_hidden: false }));
    }
    match pieces.last_mut() {
        Some(Piece::Command(Command { output: lines, is_hidden: false, .. }) | Piece::Excerpt(lines)) => {
            if !lines.is_empty() {
                lines.push('\n');
            }
            lines.push_str(line);
        }
        _ => pieces.push(Piece::Excerpt(line.to_owned())),
    }
}

impl Piece {
    fn text(&self) -> String {
        match self {
            Self::Line(line) => format!("{line}\n"),
            Self::Excerpt(lines) => format!("{lines}\n"),
            Self::Command(Command { text, is_hidden: true, .. }) => format!("<!-- $ {text} -->\n"),
            Self::Command(Command { text, output, .. }) if output.is_empty() => format!("$ {text}\n"),
            Self::Command(Command { text, output, .. }) => format!("$ {text}\n{output}\n"),
        }
    }
}

/// The lines of all blocks marked `sh`.
pub(super) fn shell_lines(text: &str) -> impl Iterator<Item = &str> {
    let blocks = text.split("\n```sh\n").skip(1).filter_map(|rest| rest.split("\n```").next());
    blocks.flat_map(str::lines).map(|line| line.split("  #").next().unwrap_or_default().split(" | ").next().unwrap_or_default())
}

#[test]
fn a_page_that_is_taken_apart_and_put_together_is_itself() {
    let text = "# A page\n\n<!-- $ true -->\n```console\n$ echo a; echo\na\n\n$ true\n```\n\n```console\nb\n  c\n```\n";
    let page = Page::parse(text);
    assert_eq!(page.text(), text);
    let command = |text: &str, output: &str, is_hidden| {
        Piece::Command(Command { text: text.to_owned(), output: output.to_owned(), is_hidden })
    };
    let found: Vec<&Piece> = page.pieces.iter().filter(|piece| !matches!(piece, Piece::Line(_))).collect();
    assert_eq!(
        found,
        [
            &command("true", "", true),
            &command("echo a; echo", "a\n", false),
            &command("true", "", false),
            &Piece::Excerpt("b\n  c".to_owned())
        ]
    );
}
