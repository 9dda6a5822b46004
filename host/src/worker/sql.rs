//! The SQL port on a Durable Object's database.

use std::panic::AssertUnwindSafe;

use ::worker::wasm_bindgen::{JsCast, JsValue, prelude::wasm_bindgen};
use ::worker::{SqlStorage, SqlStorageValue, Storage};

use crate::sql::{Columns, MAX_INTEGER, NextRow, Row, Sql, SqlError, Value};

/// A Durable Object's own database. A handle: clones share it.
#[derive(Clone)]
pub struct DurableSql {
    sql: SqlStorage,
    storage: TransactionalStorage,
}

#[wasm_bindgen(wasm_bindgen = ::worker::wasm_bindgen)]
extern "C" {
    #[derive(Clone)]
    type TransactionalStorage;

    /// `DurableObjectStorage.transactionSync`, which the `worker` crate does not bind.
    #[wasm_bindgen(method, catch, js_name = transactionSync)]
    fn transaction_sync(
        this: &TransactionalStorage,
        body: &mut dyn FnMut() -> Result<JsValue, JsValue>,
    ) -> Result<JsValue, JsValue>;
}

impl DurableSql {
    /// The database of the object that has this storage.
    #[must_use]
    pub fn new(storage: &Storage) -> Self {
        Self { sql: storage.sql(), storage: storage.as_raw().unchecked_ref::<TransactionalStorage>().clone() }
    }
}

impl Sql for DurableSql {
    fn query(
        &self,
        statement: &str,
        values: &[Value<'_>],
        each: &mut dyn FnMut(&Row<'_>) -> NextRow,
    ) -> Result<(), SqlError> {
        let values = values.iter().map(bound).collect::<Result<Vec<_>, _>>()?;
        let cursor = self.sql.exec(statement, Some(values)).map_err(statement_error)?;
        // The raw iterator repeats an error for ever, so the first one must end the loop.
        for columns in cursor.raw() {
            if each(&Row::new(&RawColumns(columns.map_err(statement_error)?)))?.is_break() {
                break;
            }
        }
        Ok(())
    }

    fn batch(&self, statements: &str) -> Result<(), SqlError> {
        self.sql.exec(statements, None).map(drop).map_err(statement_error)
    }

    fn transaction<T, E: From<SqlError>>(&self, body: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let mut body = Some(body);
        let mut outcome = None;
        // Captured whole: the closure must be unwind safe, which references to its parts are not.
        let mut captured = AssertUnwindSafe((&mut body, &mut outcome));
        let mut run = move || -> Result<JsValue, JsValue> {
            let captured = &mut captured;
            let Some(body) = captured.0.0.take() else {
                return Err(JsValue::from_str("a transaction's body ran twice"));
            };
            let result = body();
            // Throwing is how `transactionSync` is told to roll back.
            let signal =
                if result.is_ok() { Ok(JsValue::UNDEFINED) } else { Err(JsValue::from_str("rolled back")) };
            *captured.0.1 = Some(result);
            signal
        };
        let committed = self.storage.transaction_sync(&mut run);
        match (outcome, committed) {
            (Some(Err(error)), _) => Err(error),
            (Some(Ok(value)), Ok(_)) => Ok(value),
            (_, Err(error)) => Err(SqlError::Statement(format!("{:?}", ::worker::Error::from(error))).into()),
            (None, Ok(_)) => Err(SqlError::Statement("the transaction did not run".to_owned()).into()),
        }
    }
}

struct RawColumns(Vec<SqlStorageValue>);

impl Columns for RawColumns {
    fn count(&self) -> usize {
        self.0.len()
    }

    fn value(&self, index: usize) -> Result<Value<'_>, SqlError> {
        Ok(match self.0.get(index) {
            None | Some(SqlStorageValue::Null) => Value::Null,
            Some(SqlStorageValue::Boolean(boolean)) => Value::Integer((*boolean).into()),
            Some(SqlStorageValue::Integer(integer)) => Value::Integer(*integer),
            Some(SqlStorageValue::Float(real)) => Value::Real(*real),
            Some(SqlStorageValue::String(text)) => Value::Text(text),
            Some(SqlStorageValue::Blob(bytes)) => Value::Blob(bytes),
        })
    }
}

fn bound(value: &Value<'_>) -> Result<SqlStorageValue, SqlError> {
    Ok(match value {
        Value::Null => SqlStorageValue::Null,
        Value::Integer(integer) if !(-MAX_INTEGER..=MAX_INTEGER).contains(integer) => {
            return Err(SqlError::IntegerRange(*integer));
        }
        Value::Integer(integer) => SqlStorageValue::Integer(*integer),
        Value::Real(real) => SqlStorageValue::Float(*real),
        Value::Text(text) => SqlStorageValue::String((*text).to_owned()),
        Value::Blob(bytes) => SqlStorageValue::Blob(bytes.to_vec()),
    })
}

#[expect(clippy::needless_pass_by_value, reason = "shaped for map_err")]
fn statement_error(error: ::worker::Error) -> SqlError {
    SqlError::Statement(error.to_string())
}
