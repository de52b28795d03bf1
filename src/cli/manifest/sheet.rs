//! The file a manifest is written to: lines of JSON, or a table.

use std::io::{self, BufWriter, Write};

use serde::Serialize;

use super::SheetFormat;
use crate::cli::failure::CliError;
use crate::manifest::{ATTRIBUTES, COLUMNS, EndRow, FirstRow, Row};

/// So many bytes are handed over at a time: rows are a few hundred each.
const BUFFER: usize = 64 << 10;

/// See the module.
pub(super) enum Sheet {
    Lines(BufWriter<Box<dyn Write + Send>>),
    Table(Table),
}

/// A table.
pub(super) struct Table {
    out: Box<csv::Writer<Box<dyn Write + Send>>>,
    with_attributes: bool,
}

impl Sheet {
    /// A new one.
    pub(super) fn new(
        format: SheetFormat,
        with_attributes: bool,
        out: Box<dyn Write + Send>,
    ) -> Result<Self, CliError> {
        match format {
            SheetFormat::Ndjson => Ok(Self::lines(out)),
            SheetFormat::Csv => {
                let out = csv::WriterBuilder::new().buffer_capacity(BUFFER).from_writer(out);
                let mut table = Table {
                    out: Box::new(out),
                    with_attributes,
                };
                table.record(&COLUMNS)?;
                Ok(Self::Table(table))
            }
        }
    }

    /// Lines, which may have been begun.
    pub(super) fn lines(out: Box<dyn Write + Send>) -> Self {
        Self::Lines(BufWriter::with_capacity(BUFFER, out))
    }

    /// The row before all others; a table has none.
    pub(super) fn first(&mut self, row: &FirstRow) -> Result<(), CliError> {
        self.line(row)
    }

    /// The row after all others; a table has none.
    pub(super) fn end(&mut self, row: &EndRow) -> Result<(), CliError> {
        self.line(row)
    }

    /// A folder or a document.
    pub(super) fn row(&mut self, row: &Row<'_>) -> Result<(), CliError> {
        match (&mut *self, row) {
            (Self::Lines(_), Row::Folder(folder)) => self.line(folder),
            (Self::Lines(_), Row::Document(document)) => self.line(document),
            (Self::Table(table), row) => table.record(&row.cells()),
        }
    }

    fn line(&mut self, row: &impl Serialize) -> Result<(), CliError> {
        let Self::Lines(out) = self else { return Ok(()) };
        serde_json::to_writer(&mut *out, row)
            .map_err(std::io::Error::from)
            .and_then(|()| out.write_all(b"\n"))
            .map_err(|error| CliError::from_output(&error))
    }

    /// Hands over what is left.
    pub(super) fn finish(&mut self) -> Result<(), CliError> {
        match self {
            Self::Lines(out) => out.flush(),
            Self::Table(table) => table.out.flush(),
        }
        .map_err(|error| CliError::from_output(&error))
    }
}

impl Table {
    fn record(&mut self, cells: &[impl AsRef<str>; COLUMNS.len()]) -> Result<(), CliError> {
        let columns = COLUMNS.iter().zip(cells);
        let wanted = columns.filter(|(column, _)| self.with_attributes || **column != ATTRIBUTES);
        let cells = wanted.map(|(_, cell)| cell.as_ref().as_bytes());
        self.out.write_record(cells).map_err(unwritten)
    }
}

fn unwritten(error: csv::Error) -> CliError {
    match error.into_kind() {
        // Whoever read it may have seen enough.
        csv::ErrorKind::Io(error) => CliError::from_output(&error),
        other => CliError::from_output(&io::Error::other(format!("{other:?}"))),
    }
}
