"""What the applications share: data, training, compression, export."""
