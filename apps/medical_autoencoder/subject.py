"""What the report of the app is about, in words."""

from common.report.summary import Subject

from .config import Config

TERMS = {
    "auroc_low": "the lower end of AUROC's 95 % interval",
    "auroc_high": "the upper end of AUROC's 95 % interval",
    "average_precision": "the mean precision from the highest score down; 1 if "
    "all abnormal images rank first",
    "pixel_auroc": "the same chance for pixels, by their heat",
    "pro": "how much of each marked region the heat map covers",
    "psnr_low": "the lower end of PSNR's 95 % interval",
    "psnr_high": "the upper end of PSNR's 95 % interval",
    "psnr_gain": "by how much PSNR is higher than before denoising",
    "threshold": "the score from which on an image is flagged",
    "varied": "validation images framed and exposed otherwise",
}


def of(config: Config) -> Subject:
    """Returns the words for an anomaly detector, or for a denoiser."""
    denoises = config.model == "denoiser"
    return Subject(
        title="Denoising of images" if denoises else "Anomalies in images",
        model=config.model,
        examples="images" if denoises else "normal images",
        task="what noise is, to remove it"
        if denoises
        else "what normal images look like, to flag those that do not",
        judged="images",
        terms=TERMS,
        use="It removes noise from images like those of training."
        if denoises
        else "It flags images that differ from the normal ones of training, "
        "and shows where, for a person to look at.",
        limits=(
            "This is no medical device: it was not validated for any use, and "
            "is not meant for decisions about patients.",
            "Images of other devices, or framed or exposed otherwise, may get "
            "other results.",
        ),
    )
