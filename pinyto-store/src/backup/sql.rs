//! The statements, which differ little between the databases.

use std::fmt::Write as _;

use super::schema::{Column, Kind, Table};

/// What differs.
pub(crate) struct Dialect {
    /// What stands before the name of a table.
    pub(crate) prefix: &'static str,
    /// Makes text of a column of JSON; an empty one if it can't be read.
    pub(crate) read_json: fn(&str) -> String,
    /// Makes JSON of a parameter.
    pub(crate) write_json: fn(&str) -> String,
}

impl Dialect {
    pub(crate) fn count(&self, table: &Table) -> String {
        format!("SELECT count(*) FROM {}{}", self.prefix, table.name)
    }

    /// All rows in the order of the key.
    pub(crate) fn select(&self, table: &Table) -> String {
        let columns = table.columns.iter().map(|column| match column.kind {
            Kind::Json => (self.read_json)(column.name),
            _ => column.name.to_owned(),
        });
        let columns: Vec<String> = columns.collect();
        format!(
            "SELECT {} FROM {}{} ORDER BY {}",
            columns.join(", "),
            self.prefix,
            table.name,
            names(table.columns.iter().take(table.key)),
        )
    }

    /// So many rows, whose cells are the parameters.
    pub(crate) fn insert(&self, table: &Table, rows: usize) -> String {
        let (prefix, columns) = (self.prefix, names(table.columns.iter()));
        let mut sql = format!("INSERT INTO {prefix}{} ({columns}) VALUES ", table.name);
        let mut number = 0;
        for row in 0..rows {
            sql.push_str(if row == 0 { "(" } else { ", (" });
            for (place, column) in table.columns.iter().enumerate() {
                number += 1;
                if place > 0 {
                    sql.push_str(", ");
                }
                let parameter = format!("${number}");
                match column.kind {
                    Kind::Json => sql.push_str(&(self.write_json)(&parameter)),
                    _ => sql.push_str(&parameter),
                }
            }
            let _ = sql.write_char(')');
        }
        sql
    }
}

fn names<'a>(columns: impl Iterator<Item = &'a Column>) -> String {
    let names: Vec<&str> = columns.map(|column| column.name).collect();
    names.join(", ")
}

/// Reads a row of either database, whose columns are those of the table.
macro_rules! read_row {
    ($table:expr, $row:expr) => {{
        let cells = $table.columns.iter().enumerate().map(|(at, column)| {
            let cell = match column.kind {
                Kind::Integer => $row.try_get::<Option<i64>, _>(at)?.map(Cell::Integer),
                Kind::Real => $row.try_get::<Option<f64>, _>(at)?.map(Cell::Real),
                Kind::Bool => $row.try_get::<Option<bool>, _>(at)?.map(Cell::Bool),
                Kind::Text => $row.try_get::<Option<String>, _>(at)?.map(Cell::Text),
                Kind::Bytes => $row.try_get::<Option<Vec<u8>>, _>(at)?.map(Cell::Bytes),
                Kind::Json => $row.try_get::<Option<String>, _>(at)?.map(Cell::Json),
            };
            Ok(cell.unwrap_or(Cell::Null))
        });
        cells.collect::<Result<Row, sqlx::Error>>()
    }};
}
pub(crate) use read_row;

/// Binds the cells of rows to the parameters of [`Dialect::insert`].
macro_rules! bind_rows {
    ($query:expr, $table:expr, $rows:expr) => {{
        let mut query = $query;
        for row in $rows {
            for (column, cell) in $table.columns.iter().zip(row) {
                query = match cell {
                    Cell::Integer(number) => query.bind(number),
                    Cell::Real(number) => query.bind(number),
                    Cell::Bool(is) => query.bind(is),
                    Cell::Text(text) | Cell::Json(text) => query.bind(text),
                    Cell::Bytes(bytes) => query.bind(bytes),
                    // Nothing has a type, too.
                    Cell::Null => match column.kind {
                        Kind::Integer => query.bind(None::<i64>),
                        Kind::Real => query.bind(None::<f64>),
                        Kind::Bool => query.bind(None::<bool>),
                        Kind::Text | Kind::Json => query.bind(None::<String>),
                        Kind::Bytes => query.bind(None::<Vec<u8>>),
                    },
                };
            }
        }
        query
    }};
}
pub(crate) use bind_rows;
