"""Text sentiment: an LSTM, from texts to a phone and a server.

Data: any TFDS text set by name, a table of your own, or the embedded
`generated_reviews`. Model: embedding, LSTM, pooling over time. Result: a
release with a SavedModel that takes strings, TFLite files whose LSTM keeps no
state, and a report. IMDB, 25,000 test reviews: 0.9124 after 198 s of
training; 0.9112 in a file 10 times smaller.

  python -m apps.text_sentiment --flagfile=apps/flagfiles/NAME.flags
  python -m apps.text_sentiment --mode=predict --inputs='Not bad at all!'
"""

from common import flags, program

from .config import Config

if __name__ == "__main__":
    flags.launch(program.run, Config)
