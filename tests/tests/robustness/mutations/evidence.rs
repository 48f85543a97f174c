//! Records of the edge test's runs, one of whose files is damaged.

use std::collections::BTreeMap;

use linstab_experiments::edge_test::Records;
use serde::Serialize;

use super::records::Own;
use super::{Input, Kind, Reader, Verdict, lost, refused};

type Row = BTreeMap<String, String>;

/// Small records, with columns that nobody reads.
const FILES: [(&str, &str, &str); 6] = [
    (
        "minima of the evidence",
        "minima.csv",
        "minimum,network,activation,data,loss,seed,num_samples,num_parameters,final_loss,interpolating,sharpness,hessian_sharpness,seconds
mlp.mse.1,mlp,relu,digits,squared_error,1,40,500,1e-25,1,7.25,,3.5
mlp.mse.2,mlp,gelu,digits,squared_error,2,40,500,0.0,1,104.07694754261932,104.07694754261935,6.8
cnn.ce.1,cnn,gelu,digits,cross_entropy,1,50,1146,0.0125,0,9.5,11.75,6.8
",
    ),
    (
        "thresholds of the evidence",
        "thresholds.csv",
        "minimum,optimizer,sampling,batch_size,predictor,learning_rate,lower,upper
mlp.mse.1,sgd,independent,1,mean_square,0.125,0.125,0.125
mlp.mse.1,sgd,independent,1,almost_sure,0.15,0.14,0.16
mlp.mse.1,sgd,independent,1,trace_bound,inf,,
mlp.mse.2,\"adamw:beta1=0.9,weight_decay=0\",reshuffling,8,mean_square,0.0025,0.0025,0.0025
mlp.mse.2,sgd,reshuffling-drop-last,8,mean_square,,,
",
    ),
    (
        "restarts of the evidence",
        "restarts.csv",
        "minimum,optimizer,sampling,batch_size,ratio,learning_rate,num_runs,num_grown,median_passage,median_slope,num_steps,live_second_moment,seconds
mlp.mse.1,sgd,independent,1,0.8,0.1,20,0,,-0.25,6000,0,1.5
mlp.mse.1,sgd,independent,1,1.2,0.15,20,19,12,0.25,6000,0,1.5
mlp.mse.2,\"adamw:beta1=0.9,weight_decay=0\",reshuffling,8,1.0,0.0025,20,7,30,0.125,6000,1,1.5
mlp.mse.2,\"adamw:beta1=0.9,weight_decay=0\",reshuffling,8,1.0,0.0025,20,7,30,0.125,6000,0,1.5
",
    ),
    (
        "a framework's runs of the evidence",
        "torch.csv",
        "framework,minimum,optimizer,sampling,batch_size,learning_rate,num_runs,num_grown,live_second_moment
torch,mlp.mse.1,sgd,independent,1,0.1,20,0,0
torch,mlp.mse.1,sgd,independent,1,0.15,20,20,0
torch,mlp.mse.2,sgd,reshuffling-drop-last,8,0.15,20,20,0
",
    ),
    (
        "trainings of the evidence",
        "trainings.csv",
        "training,optimizer,sampling,batch_size,step,loss,learning_rate,mean_square,gradient_descent_limit,batch_sharpness,event
plain,sgd,independent,50,0,1.037211857505841,0.2,0.08606695111877148,0.09,14.7,
plain,sgd,independent,50,100,0.5,0.2,,,,
plain,sgd,independent,50,200,7.5,0.2,0.125,0.25,,spike
plain.removed,sam:rho_over_alpha=0.05,reshuffling,8,100,0.25,0.2,0.125,0.25,,removed
",
    ),
    (
        "provenance of the evidence",
        "record.toml",
        "date = \"2026-11-29\"
command = \"cargo xtask evidence\"
python = \"3.11.7\"
processor = \"a processor\"
hours_of_one_core = 1.39 # by the clock
",
    ),
];

pub(super) fn readers() -> Vec<Reader> {
    let reader = |(name, file, text): (&'static str, &'static str, &str)| Reader {
        name,
        weight: 1,
        kind: Kind::Text,
        originals: vec![text.as_bytes().to_vec()],
        repair: |bytes| bytes,
        read: Box::new(move |input| damaged(file, input)),
    };
    FILES.into_iter().map(reader).collect()
}

fn damaged(file: &str, input: &Input<'_>) -> Verdict {
    Own::with(file, input.bytes, |folder| {
        for (_, other, text) in FILES.into_iter().filter(|(_, other, _)| *other != file) {
            std::fs::write(folder.join(other), text).map_err(|error| error.to_string())?;
        }
        match Records::read(folder) {
            Ok(records) => told(file, input.bytes, &records),
            Err(error) => refused(error.with_causes()),
        }
    })
}

/// What was read must be what the file says.
fn told(file: &str, bytes: &[u8], records: &Records) -> Verdict {
    match file {
        "minima.csv" => rows(bytes, &records.minima),
        "thresholds.csv" => rows(bytes, &records.thresholds),
        "restarts.csv" => rows(bytes, &records.restarts),
        "torch.csv" => rows(bytes, &records.again),
        "trainings.csv" => rows(bytes, &records.trainings),
        _ => {
            let table: toml::Table = String::from_utf8_lossy(bytes)
                .parse()
                .map_err(|error| format!("accepted, although {error}"))?;
            let [read, said] = [serde_json::to_value(&records.provenance), serde_json::to_value(table)]
                .map(Result::unwrap_or_default);
            lost(&read, &said, "").map_or(Ok(true), Err)
        }
    }
}

/// Every column that is read must be there once, and every cell be what was read.
fn rows<T: Serialize>(bytes: &[u8], read: &[T]) -> Verdict {
    let mut written = csv::Writer::from_writer(Vec::new());
    read.iter().try_for_each(|row| written.serialize(row)).map_err(|error| error.to_string())?;
    let written = written.into_inner().map_err(|error| error.to_string())?;
    let (columns, read) = cells(&written)?;
    let (header, said) = cells(bytes)?;
    if let Some(column) =
        columns.iter().find(|column| header.iter().filter(|name| name == column).count() != 1)
    {
        return Err(format!("{column} is read, and there is no such column, or more than one"));
    }
    if read.len() != said.len() {
        return Err(format!("{} of {} rows are read", read.len(), said.len()));
    }
    let differs = |(read, said): (&Row, &Row)| {
        read.iter()
            .find(|(column, value)| !same(value, &said[*column]))
            .map(|(column, value)| format!("{column} is {:?}, read as {value:?}", said[column]))
    };
    read.iter().zip(&said).find_map(differs).map_or(Ok(true), Err)
}

fn cells(bytes: &[u8]) -> Result<(Vec<String>, Vec<Row>), String> {
    let mut reader = csv::Reader::from_reader(bytes);
    let header: Vec<String> =
        reader.headers().map_err(|error| error.to_string())?.iter().map(str::to_owned).collect();
    let row = |row: Result<csv::StringRecord, csv::Error>| {
        let row = row.map_err(|error| error.to_string())?;
        Ok(header.iter().cloned().zip(row.iter().map(str::to_owned)).collect())
    };
    let rows = reader.records().map(row).collect::<Result<_, String>>()?;
    Ok((header, rows))
}

/// The same text, or the same number.
fn same(one: &str, other: &str) -> bool {
    let number = |text: &str| text.parse::<f64>().ok().map(f64::to_bits);
    let whole = |text: &str| {
        let digits = text.strip_prefix("0x");
        digits.map_or_else(|| text.parse().ok(), |digits| u64::from_str_radix(digits, 16).ok())
    };
    one == other
        || number(one).is_some_and(|value| number(other) == Some(value))
        || whole(one).is_some_and(|value| whole(other) == Some(value))
}

/// A negative control: another number, a row less and a column of another name are found out.
pub(super) fn control() -> bool {
    let (_, file, text) = FILES[0];
    let found = |from: &str, to: &str| {
        Own::with(file, text.as_bytes(), |folder| {
            for (_, other, text) in FILES {
                std::fs::write(folder.join(other), text).expect("a writable temporary folder");
            }
            let records = Records::read(folder).expect("records that make sense");
            assert!(text.contains(from), "{from}");
            told(file, text.replacen(from, to, 1).as_bytes(), &records).is_err()
        })
    };
    !found("7.25", "7.250")
        && found("7.25", "7.26")
        && found("hessian_sharpness", "hesian_sharpness")
        && found(
            "mlp.mse.2,mlp,gelu,digits,squared_error,2,40,500,0.0,1,104.07694754261932,104.07694754261935,6.8\n",
            "",
        )
}
