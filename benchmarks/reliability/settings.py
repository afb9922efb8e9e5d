"""The smallest useful training of each app, on the embedded data."""

# Of one float32 file: what a kill can hit is training, export and report.
COMMON = ("--variants=float32", "--max_drop=1")
TRAINING = {
    "image_classify": (
        "--dataset=digits", "--model=lenet5", "--image_size=12", "--epochs=4",
        "--batch_size=128",
    ),
    "text_sentiment": (
        "--dataset=generated_reviews", "--max_tokens=24",
        "--embedding_dim=8", "--units=8", "--num_pairs=97", "--epochs=3",
        "--batch_size=64",
    ),
    "recommender": (
        "--dataset=tastes", "--epochs=3", "--batch_size=64", "--dim=8",
        "--history=16", "--nobaselines",
    ),
    "fraud_detect": (
        "--dataset=simulated_transactions", "--epochs=4", "--units=8",
        "--bins=4", "--train_days=10", "--nobaselines",
    ),
    "medical_autoencoder": (
        "--dataset=phantoms", "--epochs=2", "--batch_size=64",
        "--filters=4", "--latent=4",
    ),
}  # fmt: skip


def command(app: str, *words: str) -> list[str]:
    """Returns the words after `python -m` that train an app."""
    return [f"apps.{app}", *TRAINING[app], *COMMON, *words]
