"""Text in, batches out: corpora, token shards, packed batches.

Read in the order a text travels: `corpora` (names, paths and splits), `readers` (files), `downloads`
(named texts from the network), `python_docs` (the text inside Python), `prepare` (tokenise once),
`shards` (tokens on disk), `batches` (rows for training), `permutation` (their
order), `prefetch` (ahead of time, onto a GPU), `compression` (what gzip and xz make of the same text).
"""
