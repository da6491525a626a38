//! Attributes that a file keeps as columns of its own, found when the file is opened.
//!
//! Every file has its own promoted keys. When a scan opens one, its expressions are rewritten for it:
//! `attribute(attributes, 'k')` becomes the promoted column, so that only that is read and statistics and
//! blooms rule out row groups; any other use of the map becomes the whole map, put together again. The end of
//! a span that such a file leaves out is told from its start and its length.

mod end_time;

use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::physical_expr::expressions::{CastExpr, Column, IsNotNullExpr, case, lit};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_expr_adapter::{
    DefaultPhysicalExprAdapterFactory, PhysicalExprAdapter, PhysicalExprAdapterFactory,
};
use tracehound_functions::{Attribute, Kind, ReadPromoted, kind_of_call, read_promoted, whole_map_function};
use tracehound_schema::{Promoted, attribute_order_column, promoted_columns};

use crate::named_reader::FileError;

/// Makes the adapter of each file that a scan opens.
#[derive(Debug)]
pub(crate) struct PromotionAdapterFactory;

impl PhysicalExprAdapterFactory for PromotionAdapterFactory {
    fn create(
        &self,
        logical_file_schema: SchemaRef,
        physical_file_schema: SchemaRef,
    ) -> Result<Arc<dyn PhysicalExprAdapter>> {
        let promoted = promoted_columns(physical_file_schema.metadata()).map_err(|detail| {
            DataFusionError::External(Box::new(FileError {
                file: FileError::UNKNOWN.to_owned(),
                detail,
                is_unavailable: false,
            }))
        })?;
        let default = DefaultPhysicalExprAdapterFactory
            .create(Arc::clone(&logical_file_schema), Arc::clone(&physical_file_schema))?;
        let end_left_out = end_time::is_left_out(&logical_file_schema, &physical_file_schema);
        if promoted.is_empty() && !end_left_out {
            return Ok(default);
        }
        Ok(Arc::new(PromotionAdapter { default, promoted, end_left_out, schema: physical_file_schema }))
    }
}

/// Rewrites expressions for a file with promoted attributes.
#[derive(Debug)]
struct PromotionAdapter {
    default: Arc<dyn PhysicalExprAdapter>,
    promoted: Vec<Promoted>,
    /// Whether ends of spans may be null in the file, where they are told from start and length.
    end_left_out: bool,
    /// Of the file: map columns, promoted columns, orders.
    schema: SchemaRef,
}

impl PhysicalExprAdapter for PromotionAdapter {
    fn rewrite(&self, expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        // The columns of the result are the file's; those that are promoted are not in the table's schema.
        let expr = self.default.rewrite(expr)?;
        expr.transform_down(|expr| {
            let rewritten = match self.accessor(&expr)? {
                Some(accessor) => Some(accessor),
                None if self.end_left_out && end_time::is_end(&expr) => Some(end_time::told(&self.schema)?),
                None => self.map(&expr)?,
            };
            Ok(match rewritten {
                Some(rewritten) => Transformed::new(rewritten, true, TreeNodeRecursion::Jump),
                None => Transformed::no(expr),
            })
        })
        .data()
    }
}

impl PromotionAdapter {
    fn column(&self, name: &str) -> Result<Arc<dyn PhysicalExpr>> {
        Ok(Arc::new(Column::new_with_schema(name, &self.schema)?))
    }

    fn promoted_of(&self, scope: &str) -> impl Iterator<Item = &Promoted> {
        self.promoted.iter().filter(move |promoted| promoted.scope == scope)
    }

    /// `attribute(map, 'key', 'kind')` over a map column of the file: of the promoted column, else of what stayed in the map.
    fn accessor(&self, expr: &Arc<dyn PhysicalExpr>) -> Result<Option<Arc<dyn PhysicalExpr>>> {
        let Some(call) = ScalarFunctionExpr::try_downcast_func::<Attribute>(expr.as_ref()) else { return Ok(None) };
        let (Some(map), Some(key)) = (call.args().first(), call.args().get(1).and_then(text)) else { return Ok(None) };
        let Some(scope) = map.downcast_ref::<Column>().map(Column::name) else { return Ok(None) };
        // What is not promoted is in the map column, all of it.
        let Some(promoted) = self.promoted_of(scope).find(|promoted| promoted.key == key) else {
            return Ok(self.promoted_of(scope).next().is_some().then(|| Arc::clone(expr)));
        };
        let kind = kind_of_call(&key, call.args().get(2).and_then(text).as_deref());
        let column = self.column(&promoted.column())?;
        let value = self.read(&column, promoted, kind)?;
        if !promoted.residual {
            return Ok(Some(match value {
                Some(value) => value,
                None => lit(ScalarValue::try_new_null(&kind.data_type())?),
            }));
        }
        // A row has the key in one of the two places, never in both.
        let Some(value) = value else { return Ok(Some(Arc::clone(expr))) };
        let present = Arc::new(IsNotNullExpr::new(column));
        Ok(Some(case(None, vec![(present, value)], Some(Arc::clone(expr)))?))
    }

    /// The promoted column as the kind; `None` if none of its values conform.
    fn read(
        &self,
        column: &Arc<dyn PhysicalExpr>,
        promoted: &Promoted,
        kind: Kind,
    ) -> Result<Option<Arc<dyn PhysicalExpr>>> {
        Ok(match read_promoted(promoted.kind, kind) {
            ReadPromoted::Column => Some(Arc::clone(column)),
            // As an expression that pruning understands.
            ReadPromoted::AsDouble => Some(Arc::new(CastExpr::new(Arc::clone(column), DataType::Float64, None))),
            ReadPromoted::Never => None,
            ReadPromoted::Function(function) => {
                let args = vec![Arc::clone(column)];
                let config = Arc::new(ConfigOptions::default());
                Some(Arc::new(ScalarFunctionExpr::try_new(function, args, &self.schema, config)?))
            }
        })
    }

    /// A map column in any other place: the whole map.
    fn map(&self, expr: &Arc<dyn PhysicalExpr>) -> Result<Option<Arc<dyn PhysicalExpr>>> {
        let Some(scope) = expr.downcast_ref::<Column>().map(Column::name) else { return Ok(None) };
        let promoted: Vec<_> = self.promoted_of(scope).collect();
        if promoted.is_empty() {
            return Ok(None);
        }
        let mut args = vec![Arc::clone(expr)];
        for promoted in &promoted {
            args.push(self.column(&promoted.column())?);
        }
        let order = attribute_order_column(scope);
        if self.schema.column_with_name(&order).is_some() {
            args.push(self.column(&order)?);
        }
        let function = whole_map_function(promoted.iter().map(|promoted| promoted.key.clone()).collect());
        // The same field as the column's, so that not null stays not null.
        let field = expr.return_field(&self.schema)?;
        let config = Arc::new(ConfigOptions::default());
        Ok(Some(Arc::new(ScalarFunctionExpr::new("whole_map", function, args, field, config))))
    }
}

fn text(expr: &Arc<dyn PhysicalExpr>) -> Option<String> {
    let literal = expr.downcast_ref::<datafusion::physical_expr::expressions::Literal>()?;
    literal.value().try_as_str().flatten().map(str::to_owned)
}

#[cfg(test)]
mod tests;
