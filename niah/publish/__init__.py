"""`niah publish`: a run's results in the forms that others read.

Each module writes one form into a folder: `eval_results` (Hugging Face, for a model's repository), `every_eval_ever`
(records of that shared data base), `model_card` (a table for a README), `badge` (SVG) and `results_folder` (a run for a
repository of results, with its check). `headlines` chooses the numbers; `request` opens a pull request on the hub.
"""
