//! What an experiment has to say on the page: plain data, so that it can be stored and shown again without a run.

use serde::{Deserialize, Serialize};

/// An experiment's part of the page.
///
/// Paths are relative to the results folder. In sentences, captions and notes `**x**` is bold and `` `x` `` is code; everything
/// else is text as it stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Section {
    /// Its heading.
    pub title: String,
    /// Its name in the list of contents.
    pub short_title: String,
    /// What the paper shows, a paragraph each.
    pub paper: Vec<String>,
    /// What we find, a paragraph each; every number comes from the rows of a table.
    pub findings: Vec<String>,
    /// What it has for the first screen, if it is among what matters most.
    pub headline: Option<Headline>,
    /// Pictures.
    pub figures: Vec<Figure>,
    /// A map to explore.
    pub map: Option<Map>,
    /// A list to filter.
    pub ledger: Option<Ledger>,
    /// Tables, as short as a page wants them.
    pub tables: Vec<Table>,
    /// What of the paper is not here, and why.
    pub absent: Vec<Absent>,
}

/// One of the findings on the first screen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Headline {
    /// The finding in a few words.
    pub title: String,
    /// The numbers it stands on.
    pub numbers: Vec<Number>,
    /// The finding in a sentence.
    pub sentence: String,
    /// Its picture.
    pub picture: Picture,
}

/// A number with its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Number {
    /// As it is shown.
    pub value: String,
    /// What it is.
    pub label: String,
}

/// A drawing of the results folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Picture {
    /// Path without its ending: there are an SVG and a PNG.
    pub path: String,
    /// What there is to see, for those who do not.
    pub description: String,
    /// The CSV with its data.
    pub data: String,
}

/// A picture with its words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figure {
    /// What the paper calls it, such as `Figure 1 (a)`.
    pub name: Option<String>,
    /// Its title.
    pub title: String,
    /// What it shows.
    pub caption: String,
    /// The drawing.
    pub picture: Picture,
}

/// A map to explore cell by cell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Map {
    /// Its title.
    pub title: String,
    /// How to read it.
    pub caption: String,
    /// What there is to see, for those who do not.
    pub description: String,
    /// The file whose contents the page embeds, see [`crate::map_data`].
    pub embedded: String,
    /// The CSV with all digits.
    pub data: String,
}

/// A list of entries, each of a category.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Its title.
    pub title: String,
    /// The categories, in order.
    pub categories: Vec<Category>,
    /// The entries, in order.
    pub entries: Vec<Entry>,
    /// The CSV with everything.
    pub data: String,
}

/// A category of entries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Category {
    /// Its name, as entries have it.
    pub name: String,
    /// Its colour in figures.
    pub colour: String,
    /// What it means.
    pub meaning: String,
}

/// An entry of a ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number.
    pub id: String,
    /// The name of its category.
    pub category: String,
    /// What it says.
    pub statement: String,
    /// More to say: names and texts.
    pub details: Vec<(String, String)>,
}

/// A table, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// What the paper calls it.
    pub name: Option<String>,
    /// Its title.
    pub title: String,
    /// How to read it; may be empty.
    pub note: String,
    /// The heads of its columns; the first column names the row.
    pub columns: Vec<String>,
    /// The cells, row by row.
    pub rows: Vec<Vec<String>>,
    /// The CSV with all digits.
    pub data: String,
}

/// Something of the paper that is not here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Absent {
    /// What the paper calls it.
    pub name: String,
    /// Why it is not here.
    pub why: String,
}

impl Section {
    /// All pictures, that of the first screen included.
    pub fn pictures(&self) -> impl Iterator<Item = &Picture> {
        let first = self.headline.iter().map(|headline| &headline.picture);
        first.chain(self.figures.iter().map(|figure| &figure.picture))
    }

    /// The files of the results that a page with this section embeds.
    pub fn embedded_files(&self) -> impl Iterator<Item = String> {
        let drawings = self.pictures().map(|picture| format!("{}.svg", picture.path));
        drawings.chain(self.map.iter().map(|map| map.embedded.clone()))
    }

    /// The tables of the results that this section points at.
    pub fn data_files(&self) -> impl Iterator<Item = &str> {
        let pictures = self.pictures().map(|picture| picture.data.as_str());
        let others = self.map.iter().map(|map| map.data.as_str());
        let ledgers = self.ledger.iter().map(|ledger| ledger.data.as_str());
        pictures.chain(others).chain(ledgers).chain(self.tables.iter().map(|table| table.data.as_str()))
    }

    /// What of the paper is named here, and under which name the page has it.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let figures = self.figures.iter().filter_map(|figure| figure.name.as_deref());
        let tables = self.tables.iter().filter_map(|table| table.name.as_deref());
        figures.chain(tables).chain(self.absent.iter().map(|absent| absent.name.as_str()))
    }
}

impl Figure {
    /// The drawing `figures/<name>` of the data in `tables/<table>.csv`, with its words; the description is for those who do not see it.
    pub fn new(name: &str, title: &str, caption: impl Into<String>, description: &str, table: &str) -> Self {
        let picture = Picture::new(name, description, table);
        Self { name: None, title: title.to_owned(), caption: caption.into(), picture }
    }

    /// The paper's figure of this name.
    #[must_use]
    pub fn of_the_paper(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }
}

impl Picture {
    /// A drawing `figures/<name>` of the data in `tables/<table>.csv`.
    pub fn new(name: &str, description: impl Into<String>, table: &str) -> Self {
        Self {
            path: format!("figures/{name}"),
            description: description.into(),
            data: format!("tables/{table}.csv"),
        }
    }

    /// The path of the same drawing at the width of one column, without its ending.
    pub fn one_column(&self) -> String {
        self.path.replacen("figures/", "figures/one-column/", 1)
    }
}

impl Number {
    /// A number with its name.
    pub fn new(value: impl Into<String>, label: impl Into<String>) -> Self {
        Self { value: value.into(), label: label.into() }
    }
}

impl Table {
    /// A table of the data in `tables/<data>.csv`.
    pub fn new(title: impl Into<String>, columns: &[&str], data: &str) -> Self {
        Self {
            name: None,
            title: title.into(),
            note: String::new(),
            columns: columns.iter().map(|&column| column.to_owned()).collect(),
            rows: Vec::new(),
            data: format!("tables/{data}.csv"),
        }
    }
}
