"""What predictions are worth: scikit-learn's, SciPy's and seqeval's measures (extra: training), and SQuAD's, which are our own.

Every share is from 0 to 1. A measure that is undefined on the given data, such as the correlation with a constant, is left out.
"""
