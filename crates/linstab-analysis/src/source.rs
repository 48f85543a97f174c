//! What an analysis starts from: factors or inner products, in a file or in the memory of a caller.

use crate::files::{FactorFile, InnerProducts, Tensor};
use crate::observer::Observer;
use crate::{AnalysisError, FormedGrams, Plan, Result, Sizes, Work};

/// What an analysis starts from.
#[derive(Debug)]
pub enum Source<'a> {
    /// Factors, which are multiplied.
    Factors(FactorFile<'a>),
    /// Inner products that somebody else formed.
    Gram(InnerProducts),
}

impl<'a> Source<'a> {
    /// Factors in a tensor: (num_samples, num_parameters) or (num_samples, num_factors, num_parameters).
    ///
    /// # Errors
    /// As [`FactorFile::new`].
    pub fn factors(tensor: Tensor<'a>) -> Result<Self> {
        FactorFile::new(tensor).map(Self::Factors)
    }

    /// Inner products in a tensor, which are read.
    ///
    /// # Errors
    /// As [`InnerProducts::read`]; [`AnalysisError::Memory`], before anything is read, if no analysis of so many fits.
    pub fn gram(tensor: Tensor<'_>, num_factors: Option<usize>, memory_limit: usize) -> Result<Self> {
        if let Some((order, _)) = InnerProducts::order(tensor.shape()) {
            Plan::of_inner_products(order, Work::default(), memory_limit)?;
        }
        InnerProducts::read(tensor, num_factors).map(Self::Gram)
    }

    /// Numbers of samples, factors and parameters.
    pub fn sizes(&self) -> Sizes {
        match self {
            Self::Factors(file) => Sizes {
                num_samples: file.num_samples(),
                num_factors: file.num_factors(),
                num_parameters: Some(file.num_parameters()),
            },
            Self::Gram(products) => Sizes {
                num_samples: products.num_samples,
                num_factors: products.num_factors,
                num_parameters: None,
            },
        }
    }

    /// A preconditioner in a tensor: one number a parameter of the factors.
    ///
    /// # Errors
    /// As [`Tensor::preconditioner`]; [`AnalysisError::Option`] beside inner products, which have no parameters left to divide.
    pub fn preconditioner(&self, tensor: Tensor<'_>) -> Result<Vec<f64>> {
        match self {
            Self::Factors(file) => tensor.preconditioner(file.num_parameters()),
            Self::Gram(_) => Err(AnalysisError::Option {
                name: "preconditioner".to_owned(),
                value: crate::error::shown(tensor.path()),
                allowed: "with factors; inner products have to be those of preconditioned ones already"
                    .to_owned(),
            }),
        }
    }

    /// Tells the observer what it will take, and forms the inner products, times `scale`, and those of preconditioned factors.
    ///
    /// # Errors
    /// As [`Plan::new`] and [`Plan::grams`].
    pub fn grams(
        self,
        (scale, preconditioner): (f64, Option<&[f64]>),
        (work, memory_limit): (Work, usize),
        observer: &dyn Observer,
    ) -> Result<FormedGrams> {
        match self {
            Self::Factors(mut file) => {
                let plan = Plan::new(&file, work, memory_limit)?;
                observer.announced(&plan.announcement(&file));
                plan.grams(&mut file, scale, preconditioner, observer)
            }
            Self::Gram(products) => {
                let rows = products.matrix.nrows();
                observer.announced(&Plan::of_inner_products(rows, work, memory_limit)?);
                Ok(FormedGrams::of(products, scale))
            }
        }
    }
}
