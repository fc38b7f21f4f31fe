//! A page of `docs` as a manual page. It knows what those pages use; what it does not know is an error, not left out.

use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};
use roff::{Inline, Roff, bold, italic, roman};

/// A page and where it belongs.
pub(crate) struct Page {
    /// Its name in the manual.
    pub(crate) name: &'static str,
    /// The manual's section.
    pub(crate) section: &'static str,
    /// What it is about, in one line.
    pub(crate) summary: &'static str,
    /// The Markdown.
    pub(crate) text: &'static str,
    /// Other pages.
    pub(crate) see_also: &'static [&'static str],
}

/// The page's text.
///
/// # Panics
///
/// On Markdown that it cannot render. The pages are part of the program, so its tests would have met it.
pub(crate) fn render(page: &Page, date: &str) -> String {
    let mut writer = Writer::default();
    let version = format!("data-mesher {}", env!("CARGO_PKG_VERSION"));
    writer.roff.control("TH", [page.name, page.section, date, version.as_str()]);
    writer.roff.control("SH", ["NAME"]);
    writer.roff.text([roman(format!("{} - {}", page.name, page.summary))]);
    writer.roff.control("SH", ["DESCRIPTION"]);
    for event in Parser::new_ext(page.text, Options::ENABLE_TABLES) {
        writer.event(event);
    }
    writer.roff.control("SH", ["SEE ALSO"]);
    writer.roff.text([roman(page.see_also.join(", "))]);
    writer.roff.to_roff()
}

#[derive(Default)]
struct Writer {
    roff: Roff,
    /// The text of the block that has begun.
    line: Vec<Inline>,
    /// Whether emphasis has begun, which is one style for the weak and the strong.
    emphasis: bool,
    /// The text of the code block that has begun.
    code: Option<String>,
    /// The headers of the table that has begun, and the cells of its row.
    headers: Vec<Vec<Inline>>,
    cells: Vec<Vec<Inline>>,
    /// Whether the paragraph that begins is the first of its section or list item, which needs no space before it.
    first: bool,
    /// Whether a list item has begun.
    item: bool,
}

impl Writer {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) => match &mut self.code {
                Some(code) => code.push_str(&text),
                None if self.emphasis => self.line.push(italic(text.as_ref())),
                None => self.line.push(roman(text.as_ref())),
            },
            Event::Code(text) => self.line.push(bold(text.as_ref())),
            Event::SoftBreak => self.line.push(roman(" ")),
            // Comments are for whoever runs the page's commands.
            Event::Html(_) => {}
            other => panic!("{other:?} has no place in a manual page"),
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::CodeBlock(_) => self.code = Some(String::new()),
            Tag::Emphasis | Tag::Strong => self.emphasis = true,
            Tag::Item => {
                self.roff.control("IP", ["-", "2"]);
                self.item = true;
            }
            Tag::Heading { .. }
            | Tag::Paragraph
            | Tag::List(_)
            | Tag::Table(_)
            | Tag::TableHead
            | Tag::TableRow
            | Tag::TableCell
            | Tag::HtmlBlock
            | Tag::Link { .. } => {}
            other => panic!("{other:?} has no place in a manual page"),
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            // The page's own title stands above it already.
            TagEnd::Heading(HeadingLevel::H1) => {
                self.line.clear();
                self.first = true;
            }
            TagEnd::Heading(level) => {
                let title: String = std::mem::take(&mut self.line).iter().map(plain).collect();
                let title = if level == HeadingLevel::H2 { title.to_uppercase() } else { title };
                self.roff.control(if level == HeadingLevel::H2 { "SH" } else { "SS" }, [title.as_str()]);
                self.first = true;
            }
            TagEnd::Paragraph => self.paragraph(),
            TagEnd::Item => {
                if !self.line.is_empty() {
                    self.roff.text(std::mem::take(&mut self.line));
                }
                self.item = false;
            }
            TagEnd::List(_) => self.first = false,
            TagEnd::CodeBlock => self.code_block(),
            TagEnd::Emphasis | TagEnd::Strong => self.emphasis = false,
            TagEnd::TableCell => self.cells.push(std::mem::take(&mut self.line)),
            TagEnd::TableHead => self.headers = std::mem::take(&mut self.cells),
            TagEnd::TableRow => self.row(),
            TagEnd::Table => self.first = false,
            _ => {}
        }
    }

    fn paragraph(&mut self) {
        if !std::mem::take(&mut self.first) && !self.item {
            self.roff.control("PP", [] as [&str; 0]);
        }
        self.roff.text(std::mem::take(&mut self.line));
    }

    fn code_block(&mut self) {
        let code = self.code.take().unwrap_or_default();
        self.roff.control("PP", [] as [&str; 0]);
        self.roff.control("RS", ["4"]);
        self.roff.control("nf", [] as [&str; 0]);
        for line in code.lines() {
            self.roff.text([roman(if line.is_empty() { " " } else { line })]);
        }
        self.roff.control("fi", [] as [&str; 0]);
        self.roff.control("RE", [] as [&str; 0]);
        self.first = false;
    }

    /// A row as an entry: its first cell is the term; what the third and later cells say stands behind the second with
    /// their headers.
    fn row(&mut self) {
        let mut cells = std::mem::take(&mut self.cells).into_iter();
        self.roff.control("TP", [] as [&str; 0]);
        self.roff.text(cells.next().unwrap_or_default());
        let mut said = cells.next().unwrap_or_default();
        for (header, cell) in self.headers.iter().skip(2).zip(cells) {
            said.push(roman("; "));
            said.extend(header.iter().cloned());
            said.push(roman(": "));
            said.extend(cell);
        }
        self.roff.text(said);
    }
}

fn plain(inline: &Inline) -> String {
    match inline {
        Inline::Roman(text) | Inline::Italic(text) | Inline::Bold(text) => text.clone(),
        Inline::LineBreak => " ".to_owned(),
    }
}
