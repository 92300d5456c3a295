"""What a trained model can do: one file a measurement, on any model that a sweep kept.

A file here, or a .py file of one's own, is a measurement if it defines

`Options`   a frozen dataclass of its options, each with a default and a line that says what it is;
`measure`   `measure(model: TrainedModel, options: Options) -> list[Row]`: a model's rows of the table
            `evals/NAME.csv`, each a number or a text by column. Rows are keyed by the model's `cell_id`, and
            the columns of `isoflop.evals.table.MODEL_COLUMNS` stand before its own;

and, if it likes, `refuse(model, options)`, which raises `UserError` for a model that it can't measure: it is
asked of every model before the first is measured. `TIMED` names columns that come of a clock: all others are
the same, bit for bit, whenever a model is measured.
"""
