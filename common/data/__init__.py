"""Data: splits, the pipelines that read them, and where they come from.

Every set: `splits` holds the examples in memory or streams them, `pipelines`
makes batches of them, and `replicas` shares a batch among devices. `tfds_sets`
loads a set of TFDS, after `downloads` has checked that its hosts answer.

Images: `encoded` checks headers, `images` decodes and resizes inside a graph,
`orientation` turns photos upright, and `image_files` makes PNG of what
TensorFlow cannot decode. `image_sets` loads a set by its name or folder. Of a
folder, `image_folder` and `image_labels` list the files (as an `image_listing`)
with their classes, `image_checks` decodes each once, `image_duplicates` keeps
equal images together, and `image_splits` draws the missing splits.

Tables: `tables` reads them; `delimited`, `json_table` and `spreadsheet` know
three of their formats. `dialects` judges the encoding and the separator of a
text, `quotes` checks its quoted cells, `plain_columns` makes the columns of any
format alike, and `cells` reads the numbers, dates and labels that people write.
`table_files` lists the files that an option names.
"""
