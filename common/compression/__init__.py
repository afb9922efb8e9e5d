"""Compression: low rank, and pruning, clustering and QAT of a Keras 2 twin.

`chain` plans and runs the techniques of all variants, `wrappers` puts one
technique of TF-MOT around a twin and takes it off again, `finetuning` trains in
between and `verification` checks the result. A new technique is a name in
`common.variants.TECHNIQUES`, a case in `wrappers.wrap` and `wrappers.strip`, a
check in `verification`, and its options in `common.shared_options`. It keeps
the twin's layers and the shapes of their weights: `chain` builds the twin of
each step anew from the Keras 3 model and copies the weights into it. Only
`low_rank`, always the first of a chain, makes another Keras 3 model, from which
the twins behind it are built; `output_spaces` measures what its ranks depend
on. `formats` knows which layers forbid a format.
"""
