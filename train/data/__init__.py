"""From documents to training windows: corpora, tokenizers, mixtures, order, batches."""
