"""Sums and best paths over any automaton: fast Baum-Welch and Viterbi."""

from cupy_kernels.fsa.automaton import Automaton
from cupy_kernels.fsa.builders import ctc_automaton, rna_automaton
from cupy_kernels.fsa.hmm import Hmm, Transitions, hmm_automaton, lexicon_automaton
from cupy_kernels.fsa.op import fsa_best_path, fsa_full_sum, fsa_loss

__all__ = [
    "Automaton",
    "Hmm",
    "Transitions",
    "ctc_automaton",
    "fsa_best_path",
    "fsa_full_sum",
    "fsa_loss",
    "hmm_automaton",
    "lexicon_automaton",
    "rna_automaton",
]
