"""Data: splits, the pipelines that read them, and where they come from.

Images: `encoded` checks headers, `images` decodes and resizes inside a graph,
`orientation` turns photos upright, `image_files` makes PNG of what TensorFlow
cannot decode, `image_checks` tells which files of a folder are usable, and
`image_folder` and `image_sets` load data sets.

Tables: `tables` reads them, `delimited` and `spreadsheet` know two of their
formats, `cells` the numbers, dates and labels that people write.
"""
