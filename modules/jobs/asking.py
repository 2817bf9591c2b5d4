"""What the contest's template asks for, in the words of the task: known before anything is trained or predicted."""

from __future__ import annotations

from modules.config.schema import Config
from modules.data.labels import separator_of
from modules.data.samples import Samples
from modules.data.sources import as_laid_out, contest_folder, id_column, template_path
from modules.data.task import Task
from modules.prediction.forms import Question
from modules.prediction.metrics import Metric
from modules.prediction.template import Template, read_template


def ask_template(config: Config, test: Samples, task: Task, metric: Metric, trained: Config) -> Template:
    """The template, known to fit the test set and the task. trained: the config that labels were learnt with.

    Raises UserError where it does not fit, and says how.
    """
    folder, data = contest_folder(config.data, config.settings.data_path), as_laid_out(config.data)
    separates = separator_of(data if data.label_separator else trained.data)
    question = Question(task, metric, separates, trained.hyper_params.map_at)
    return read_template(template_path(config.data, folder), id_column(config.data, folder), test.ids, question)
