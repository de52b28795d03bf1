//! The file a manifest is written to: lines of JSON, or a table.

use std::io::{BufWriter, Write};

use serde::Serialize;

use super::SheetFormat;
use crate::cli::failure::CliError;
use crate::manifest::{COLUMNS, EndRow, FirstRow, Row};

/// So many bytes are handed over at a time: rows are a few hundred each.
const BUFFER: usize = 64 << 10;

/// See the module.
pub(super) enum Sheet {
    Lines(BufWriter<Box<dyn Write + Send>>),
    Table(Box<csv::Writer<Box<dyn Write + Send>>>),
}

impl Sheet {
    /// A new one.
    pub(super) fn new(format: SheetFormat, out: Box<dyn Write + Send>) -> Result<Self, CliError> {
        match format {
            SheetFormat::Ndjson => Ok(Self::lines(out)),
            SheetFormat::Csv => {
                let mut table = csv::WriterBuilder::new().buffer_capacity(BUFFER).from_writer(out);
                table.write_record(COLUMNS).map_err(unwritten)?;
                Ok(Self::Table(Box::new(table)))
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
            (Self::Table(table), row) => {
                let cells = row.cells();
                table
                    .write_record(cells.iter().map(|cell| cell.as_bytes()))
                    .map_err(unwritten)
            }
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
            Self::Table(table) => table.flush(),
        }
        .map_err(|error| CliError::from_output(&error))
    }
}

fn unwritten(error: csv::Error) -> CliError {
    CliError::from_output(&error.into())
}
